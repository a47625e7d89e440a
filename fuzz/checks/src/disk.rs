//! Files of the data directory.

use std::sync::Arc;

use prometheus::Registry;
use swell_engine::{Config, Db, OpenError, WalSync};
use swell_env::{Dir as _, ManualClock, MemDir};
use swell_model::{
    Batch, Labels, Row, SampleSink as _, SelectHints, SeriesSource as _, TimeRange, TimestampMs,
};

use crate::repair;

/// Later than any sample that the seeds have.
const NOW: TimestampMs = TimestampMs(10_000 * 24 * 3_600_000);

pub(crate) fn config() -> Config {
    Config {
        wal_sync: WalSync::Never,
        background: None,
        reserve_bytes: 0,
        checkpoint_log_bytes: 1 << 20,
        ..Config::standard()
    }
}

pub(crate) fn open(dir: &MemDir) -> Result<Db, OpenError> {
    Db::open(Arc::new(dir.clone()), config(), Arc::new(ManualClock::new(NOW)), &Registry::new())
}

pub(crate) fn folder(files: &[(&str, &[u8])]) -> MemDir {
    let dir = MemDir::new();
    for name in ["wal", "blocks"] {
        dir.create_folder(name).expect("memory");
    }
    for (name, bytes) in files {
        dir.create(name).and_then(|file| file.append(bytes)).expect("memory");
    }
    dir
}

/// A database over these files opens, or says why not. One that opens gives times that rise, takes samples, and gives those
/// back after a restart.
fn use_files(files: &[(&str, &[u8])]) -> bool {
    let dir = folder(files);
    let Ok(db) = open(&dir) else { return false };
    let range = SelectHints::range(TimeRange::ALL);
    let mut sample_count = 0;
    // A fault that names damage is an answer.
    if let Ok(found) = db.select(&[], &range) {
        for series in found.flatten() {
            assert!(series.floats.timestamps.is_sorted_by(|a, b| a < b), "times rise");
            assert_eq!(series.floats.timestamps.len(), series.floats.values.len());
            assert_eq!(series.histograms.timestamps.len(), series.histograms.values.len());
            sample_count += series.floats.timestamps.len() + series.histograms.timestamps.len();
        }
    }
    let is_taken = sample_count > 0 && db.status().damage.is_empty();
    drop(db.label_values("__name__", &[], TimeRange::ALL));
    let labels = Labels::from_pairs([("__name__", "after"), ("damage", "yes")]);
    let Ok(series) = db.resolve(&labels) else { return is_taken };
    let row = Row {
        timestamp: TimestampMs(NOW.0 - 1),
        series: vec![series],
        values: vec![7.0],
        ..Row::default()
    };
    let stored = db.append(&Batch::of_rows(vec![row])).is_ok_and(|report| report.stored == 1);
    // Maintenance may refuse damaged blocks, and says so.
    drop(db.maintain(NOW));
    drop(db.close());
    if stored {
        let db = open(&dir).expect("what was opened and closed opens again");
        let newest = SelectHints::range(TimeRange {
            start_incl: TimestampMs(NOW.0 - 1),
            end_incl: TimestampMs(NOW.0 - 1),
        });
        let matcher = swell_model::Matcher::equal("damage", "yes");
        let found: Vec<_> = db.select(&[matcher], &newest).expect("in the head").collect();
        let found = found.into_iter().next().expect("one series").expect("readable");
        assert_eq!(found.floats.values.last(), Some(&7.0), "what was acknowledged is there");
    }
    is_taken
}

pub(crate) fn log_segment(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    repair::log_segment(&mut bytes);
    use_files(&[("wal/00000001.wal", &bytes)])
}

/// The length of the log's segment in two bytes, the segment, the labels that a checkpoint names, unless it is one of the
/// first version, and the checkpoint that goes on in the segment.
pub(crate) fn checkpoint(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let (segment, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*len))));
    let (mut segment, mut rest) = (segment.to_vec(), rest.to_vec());
    repair::log_segment(&mut segment);
    let log = ("wal/00000001.wal", &segment[..]);
    let Some((len, digest)) = repair::labels(&mut rest) else {
        repair::checkpoint(&mut rest);
        return use_files(&[log, ("checkpoint", &rest)]);
    };
    let (labels, checkpoint) = rest.split_at_mut(len);
    repair::seal(checkpoint, len, digest);
    repair::checkpoint(checkpoint);
    use_files(&[log, ("labels-00000001", labels), ("checkpoint", checkpoint)])
}

pub(crate) fn block(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    repair::block(&mut bytes);
    use_files(&[("blocks/00000001.blk", &bytes)])
}

/// The first byte says which file it is.
pub(crate) fn small_files(bytes: &[u8]) -> bool {
    let Some((which, rest)) = bytes.split_first() else { return false };
    let names = ["blocks/manifest", "metadata", "blocks/head.tomb", "blocks/00000001.tomb"];
    let queries = swell_tsdb_http::fuzzing::left_behind(rest);
    assert!(queries.len() <= rest.len() / 16, "an entry has a head");
    let mut rest = rest.to_vec();
    repair::at_end(&mut rest);
    // There are no samples to find: a damaged one may even keep the database from opening, and says so.
    let _has_samples = use_files(&[(names[usize::from(*which) % names.len()], &rest)]);
    true
}
