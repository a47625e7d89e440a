//! Walks over a segment with a window of bounded size in memory, and cuts it into records and what is none.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use swell_env::ReadFile;

use super::frame::{Found, next_candidate, record_at};

/// Bytes read at once; more only for a longer record.
const READ_BYTES: usize = 1 << 20;

/// A stretch of a segment behind its header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stretch<'s> {
    /// A record that passed its checksum.
    Record { offset: u64, record_nr: u64, payload: &'s [u8] },
    /// Bytes that are no record.
    Damaged { bytes: Range<u64> },
}

/// The walk. After damage it looks for the next record at every byte, since a length that is wrong says nothing about
/// where to go on.
#[derive(Debug)]
pub(crate) struct Scan {
    file: Arc<dyn ReadFile>,
    file_len: u64,
    /// Where the walk stands.
    at: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Scan {
    pub(crate) fn new(file: Arc<dyn ReadFile>, start: u64) -> io::Result<Self> {
        let file_len = file.len()?;
        Ok(Self::up_to(file, start, file_len))
    }

    /// A walk that takes the file for `len_bytes` long.
    pub(crate) fn up_to(file: Arc<dyn ReadFile>, start: u64, len_bytes: u64) -> Self {
        Self { file, file_len: len_bytes, at: start, window: Vec::new(), window_at: start }
    }

    /// The file is so long now; the walk goes on where it stands.
    pub(crate) fn extend(&mut self, len_bytes: u64) {
        self.file_len = self.file_len.max(len_bytes);
    }

    /// The next stretch; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Stretch<'_>>> {
        if self.at >= self.file_len {
            return Ok(None);
        }
        let start = self.at;
        loop {
            let available = self.file_len.saturating_sub(self.at);
            match record_at(self.seen(), available) {
                Found::Needs(len) => self.fill(len)?,
                Found::Nothing if available == 0 => {
                    return Ok(Some(Stretch::Damaged { bytes: start..self.file_len }));
                }
                Found::Nothing => {
                    if self.seen().is_empty() {
                        self.fill(1)?;
                    }
                    let step = next_candidate(self.seen()) as u64;
                    self.at = self.file_len.min(self.at + step);
                }
                Found::Record { .. } if self.at > start => {
                    return Ok(Some(Stretch::Damaged { bytes: start..self.at }));
                }
                Found::Record { record_nr, payload } => {
                    let offset = self.at;
                    let skipped = usize::try_from(offset - self.window_at).expect("in memory");
                    self.at += payload.end as u64;
                    let payload = &self.window[skipped + payload.start..skipped + payload.end];
                    return Ok(Some(Stretch::Record { offset, record_nr, payload }));
                }
            }
        }
    }

    /// What is in memory from where the walk stands.
    fn seen(&self) -> &[u8] {
        let skipped = usize::try_from(self.at - self.window_at).unwrap_or(usize::MAX);
        self.window.get(skipped..).unwrap_or_default()
    }

    /// Has at least `len` bytes in memory, which the file has.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        let skipped = usize::try_from(self.at - self.window_at).unwrap_or(usize::MAX);
        self.window.drain(..skipped.min(self.window.len()));
        self.window_at = self.at;
        let have = self.window.len();
        let left = self.file_len - self.at;
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(len.max(READ_BYTES));
        self.window.resize(want.max(have), 0);
        self.file.read_at(self.at + have as u64, &mut self.window[have..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_env::{Dir as _, MemDir};

    use super::super::frame::{RECORD_HEADER_LEN, end_record, start_record};
    use super::*;

    /// The number and payload of a record, or a damaged range.
    type Found = Result<(u64, Vec<u8>), Range<u64>>;

    fn stretches(bytes: &[u8]) -> Vec<Found> {
        let dir = MemDir::new();
        dir.create("file").expect("made").append(bytes).expect("written");
        let mut scan = Scan::new(dir.open("file").expect("there"), 0).expect("has a length");
        let mut out = Vec::new();
        while let Some(stretch) = scan.next().expect("readable") {
            out.push(match stretch {
                Stretch::Record { record_nr, payload, .. } => Ok((record_nr, payload.to_vec())),
                Stretch::Damaged { bytes } => Err(bytes),
            });
        }
        out
    }

    fn segment(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends, mut record) = (Vec::new(), Vec::new(), Vec::new());
        for (nr, payload) in (0u64..).zip(payloads) {
            start_record(&mut record);
            record.extend_from_slice(payload);
            assert!(end_record(&mut record, nr));
            bytes.extend_from_slice(&record);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    proptest! {
        #[test]
        fn a_damaged_record_is_skipped_and_the_others_are_found(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
            hit in any::<prop::sample::Index>(),
            mask in 1u8..,
        ) {
            let (mut bytes, ends) = segment(&payloads);
            let whole = stretches(&bytes);
            prop_assert_eq!(whole.len(), payloads.len());
            let hit = hit.index(bytes.len());
            bytes[hit] ^= mask;
            let damaged_idx = ends.partition_point(|end| *end <= hit);
            let start = if damaged_idx == 0 { 0 } else { ends[damaged_idx - 1] as u64 };
            let found = stretches(&bytes);
            prop_assert_eq!(found.len(), payloads.len());
            for (idx, stretch) in found.into_iter().enumerate() {
                if idx == damaged_idx {
                    prop_assert_eq!(stretch, Err(start..ends[idx] as u64));
                } else {
                    prop_assert_eq!(stretch, Ok((idx as u64, payloads[idx].clone())));
                }
            }
        }

        #[test]
        fn garbage_is_one_stretch(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(stretches(&bytes).len() <= 1);
        }
    }

    #[test]
    fn records_longer_than_the_window_are_read() {
        let payloads = [vec![1; 3 * READ_BYTES], vec![2; 5], vec![3; READ_BYTES]];
        let (mut bytes, ends) = segment(&payloads);
        let nrs = |found: Vec<Found>| -> Vec<Option<u64>> {
            found.into_iter().map(|stretch| stretch.ok().map(|(nr, _)| nr)).collect()
        };
        assert_eq!(nrs(stretches(&bytes)), [Some(0), Some(1), Some(2)]);
        bytes[RECORD_HEADER_LEN] ^= 1;
        assert_eq!(nrs(stretches(&bytes)), [None, Some(1), Some(2)]);
        bytes.truncate(ends[2] - 1);
        assert_eq!(nrs(stretches(&bytes)), [None, Some(1), None]);
    }
}
