//! Containers that have a cgroup of their own.

mod figures;
mod v1;
mod v2;

use std::path::Path;

use swell_source::{KernelFile, ReadError, Scratch, fields, key_value, lines, parse_u64};

use crate::container::Metric;
use crate::inventory::CgroupPaths;

/// A container's cgroup: files that are read each tick stay open, the others are opened when asked for.
#[derive(Debug)]
pub(crate) enum Cgroup {
    V2(v2::Files),
    V1(v1::Files),
}

impl Cgroup {
    pub(crate) fn new(paths: &CgroupPaths) -> Self {
        match paths {
            CgroupPaths::V2(dir) => Self::V2(v2::Files::new(dir)),
            CgroupPaths::V1(paths) => Self::V1(v1::Files::new(paths)),
        }
    }

    /// What changes all the time: CPU, memory, tasks.
    ///
    /// # Errors
    /// When a file every cgroup has cannot be read; nothing more is recorded then.
    pub(crate) fn read_fast(
        &mut self,
        hold_open: bool,
        scratch: &mut Scratch,
        record: &mut dyn FnMut(Metric, f64),
    ) -> Result<(), ReadError> {
        match self {
            Self::V2(files) => files.read_fast(hold_open, scratch, record),
            Self::V1(files) => files.read_fast(hold_open, scratch, record),
        }
    }

    /// What changes rarely or may come late: limits, pressure, events, swap.
    pub(crate) fn read_slow(&self, scratch: &mut Scratch, record: &mut dyn FnMut(Metric, f64)) {
        match self {
            Self::V2(files) => files.read_slow(scratch, record),
            Self::V1(files) => files.read_slow(scratch, record),
        }
    }

    /// Processes in it.
    pub(crate) fn pids(&self, scratch: &mut Scratch) -> Option<Vec<u32>> {
        let file = match self {
            Self::V2(files) => files.procs_path(),
            Self::V1(files) => files.procs_path(),
        };
        let mut file = KernelFile::new(file);
        let text = file.read(scratch).ok()?;
        let pid = |line| parse_u64(line).and_then(|pid| u32::try_from(pid).ok());
        Some(lines(text).filter_map(pid).collect())
    }
}

/// The number in a file of one line; `max` and an absent file are none.
fn single(path: &Path, scratch: &mut Scratch) -> Option<u64> {
    let mut file = KernelFile::new(path.to_owned());
    fields(file.read_once(scratch).ok()?).next().and_then(parse_u64)
}

/// Values of wanted keys in a file of `key value` lines, in the order of the keys.
fn by_key<const N: usize>(text: &[u8], keys: [&[u8]; N]) -> [Option<u64>; N] {
    let mut values = [None; N];
    for (key, value) in lines(text).filter_map(key_value) {
        if let Some(idx) = keys.iter().position(|wanted| *wanted == key) {
            values[idx] = Some(value);
        }
    }
    values
}

#[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
const fn float(number: u64) -> f64 {
    number as f64
}
