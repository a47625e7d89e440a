//! The kept inputs, whole, cut and changed anywhere, keep what the checks say; each target has some.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use swell_fuzz_checks::{TARGETS, check};

/// Cuts of one input that are tried, evenly spread.
const CUTS_MAX: usize = 24;
/// Changed inputs of each seed that are tried.
const ROUNDS: usize = 100;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    entries.filter_map(|entry| stem(entry.expect("listed").path())).collect()
}

#[test]
fn every_check_has_a_target_and_seeds() {
    let wanted: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz_folder().join("targets")), wanted, "fuzz/targets");
    assert_eq!(names(&fuzz_folder().join("seeds")), wanted, "fuzz/seeds");
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for name in &wanted {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no binary of fuzz");
    }
}

/// Runs the check of a target on all of its seeds: whole, cut, and changed in a few places. Those under `found-…` were made
/// up by the fuzzer, and may be refused.
fn replay(target: &str) {
    let folder = fuzz_folder().join("seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a folder of seeds")
        .map(|entry| entry.expect("listed").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    let mut choices = Choices(0x5eed);
    for path in paths {
        let bytes = fs::read(&path).expect("readable");
        println!("{} of {} bytes", path.display(), bytes.len());
        let is_found =
            path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("found-"));
        assert!(check(target, &bytes) || is_found, "a seed is taken as what it is");
        for cut in (0..bytes.len()).step_by((bytes.len() / CUTS_MAX).max(1)) {
            // What is left may be refused.
            let _is_taken = check(target, &bytes[..cut]);
        }
        for _ in 0..rounds() {
            let changed = choices.change(&bytes);
            let held = std::panic::catch_unwind(|| check(target, &changed));
            if held.is_err() {
                let kept = std::env::temp_dir().join(format!("swell-{target}-{:x}", choices.0));
                fs::write(&kept, &changed).expect("written");
                panic!("the check does not hold for {}", kept.display());
            }
        }
    }
}

/// Changed inputs of each seed; `SWELL_SEED_ROUNDS` asks for more.
#[expect(clippy::disallowed_methods, reason = "a test that is asked to look further")]
fn rounds() -> usize {
    let asked = std::env::var("SWELL_SEED_ROUNDS").ok();
    asked.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

/// A stream of choices from one number (xorshift).
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64 bits") % bound.max(1)
    }

    /// The bytes with up to four changes: a bit, a byte, an edge of the integers, a stretch gone, doubled or moved.
    fn change(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            let len = self.below(1 + 8.min(out.len() - at));
            match self.below(6) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 if !out.is_empty() => out[at] = self.below(256).to_le_bytes()[0],
                2 => {
                    let edge = [0, 1, 0x7f, 0x80, 0xff][self.below(5)];
                    out[at..at + len].fill(edge);
                }
                3 => drop(out.drain(at..at + len)),
                4 => {
                    let stretch = out[at..at + len].to_vec();
                    let to = self.below(out.len());
                    out.splice(to..to, stretch);
                }
                _ => {
                    let to = self.below(out.len() + 1 - len);
                    out.copy_within(at..at + len, to);
                }
            }
        }
        out
    }
}

macro_rules! replay {
    ($($target:ident),+ $(,)?) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),+];
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )+
    };
}

replay!(
    agent_stream,
    alertmanager,
    api_object,
    api_patch,
    archive_list,
    block,
    checkpoint,
    columns,
    exposition,
    index,
    influx,
    log_segment,
    otlp,
    parquet,
    prometheus_block,
    promql,
    remote_read,
    remote_read_answer,
    remote_write,
    rules,
    scalars,
    scrape_body,
    small_files,
    template,
);

#[test]
fn every_target_is_replayed() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
}
