//! Blocks that Prometheus' own tool makes are read as they are, and damage is found in every file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use swell_archive::{PrometheusBlock, PrometheusError, prometheus_blocks};
use swell_model::{Labels, Matcher, SelectHints, SeriesSource, TimeRange, TimestampMs};

/// 2026-05-27, some hours after midnight.
const START_MS: i64 = 1_779_840_000_000 + 3 * 3_600_000;
const STEP_MS: i64 = 15_000;
const STEPS: i64 = 900;

type Expected = BTreeMap<Labels, Vec<(i64, u64)>>;

/// The promtool of the machine; a test without it fails in CI and says that it was skipped elsewhere.
fn promtool() -> Option<&'static str> {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    if !found {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "promtool must be there in CI: Debian's package prometheus has it"
        );
        eprintln!("skipped: there is no promtool; Debian's package prometheus has it");
    }
    found.then_some("promtool")
}

/// Samples with jitter, of counters, gauges, constants and odd values, over several blocks and chunks.
fn text() -> (String, Expected) {
    let mut expected = Expected::new();
    let mut text = String::new();
    let odd = [f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-300, f64::MAX, 0.1 + 0.2];
    for (name, nr) in [("counter", 0_i64), ("gauge", 1), ("constant", 2), ("odd", 3), ("rare", 4)] {
        text.push_str(&format!("# TYPE {name} gauge\n"));
        for instance in ["a", "b\\\"c"] {
            let labels = Labels::from_pairs([
                ("__name__", name),
                ("instance", &instance.replace("\\\"", "\"")),
            ]);
            let samples = expected.entry(labels).or_default();
            for step in (0..STEPS).filter(|step| nr != 4 || step % 97 == 0) {
                let at = START_MS + step * STEP_MS + (step * step * (nr + 3)) % 41;
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let value = match nr {
                    0 => (step * 1234) as f64,
                    1 => ((step * 7919) % 1000) as f64 / 8.0,
                    2 => 42.0,
                    3 => odd[usize::try_from(step).expect("small") % odd.len()],
                    _ => step as f64 * 0.1,
                };
                let shown = match value {
                    f64::INFINITY => "+Inf".to_owned(),
                    f64::NEG_INFINITY => "-Inf".to_owned(),
                    value => format!("{value:e}"),
                };
                text.push_str(&format!(
                    "{name}{{instance=\"{instance}\"}} {shown} {}.{:03}\n",
                    at / 1000,
                    at % 1000
                ));
                samples.push((at, value.to_bits()));
            }
        }
    }
    text.push_str("# EOF\n");
    (text, expected)
}

fn make_blocks(promtool: &str, folder: &Path) -> (PathBuf, Expected) {
    let (text, expected) = text();
    let input = folder.join("input.txt");
    fs::write(&input, text).expect("written");
    let blocks = folder.join("blocks");
    let output = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&input, &blocks])
        .output()
        .expect("promtool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (blocks, expected)
}

fn read(block: &PrometheusBlock, into: &mut Expected) -> Result<(), String> {
    for series in
        block.select(&[], &SelectHints::range(TimeRange::ALL)).map_err(|e| e.to_string())?
    {
        let series = series.map_err(|error| error.to_string())?;
        let values = series.floats.values.iter().map(|value| value.to_bits());
        let samples = series.floats.timestamps.iter().copied().zip(values);
        into.entry(series.labels).or_default().extend(samples);
    }
    Ok(())
}

#[test]
fn blocks_of_promtool_are_read_bit_for_bit() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (path, expected) = make_blocks(promtool, folder.path());
    let blocks = prometheus_blocks(&path).expect("blocks");
    assert!(blocks.len() > 1, "several windows of two hours");
    let mut found = Expected::new();
    for block in &blocks {
        assert!(block.sample_count() > 0);
        read(block, &mut found).expect("readable");
    }
    assert_eq!(found, expected);
    let first = &blocks[0];
    let one = [Matcher::equal("__name__", "gauge"), Matcher::equal("instance", "a")];
    let window = TimeRange {
        start_incl: TimestampMs(START_MS + 60_000),
        end_incl: TimestampMs(START_MS + 120_000),
    };
    let found: Vec<_> =
        first.select(&one, &SelectHints::range(window)).expect("readable").collect();
    let series = found.into_iter().next().expect("one series").expect("readable");
    assert!(series.floats.timestamps.iter().all(|at| window.contains(TimestampMs(*at))));
    assert_eq!(series.floats.timestamps.len(), 4);
    let values = first.label_values("instance", &[], TimeRange::ALL).expect("values");
    assert_eq!(values, ["a", "b\"c"]);
}

#[test]
fn every_changed_byte_of_a_block_is_found_and_named() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = make_blocks(promtool, folder.path());
    let block = prometheus_blocks(&path).expect("blocks").swap_remove(0);
    let whole = {
        let mut found = Expected::new();
        read(&block, &mut found).expect("readable");
        found
    };
    let mut trials = 0;
    for name in ["index", "chunks/000001", "tombstones"] {
        let file = block.path().join(name);
        let bytes = fs::read(&file).expect("there");
        for at in (0..bytes.len()).step_by(bytes.len() / 150 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            for content in [&changed[..], &bytes[..at]] {
                fs::write(&file, content).expect("writable");
                let mut found = Expected::new();
                let outcome = PrometheusBlock::open(block.path())
                    .map_err(|error| swell_telemetry::chain(&error))
                    .and_then(|block| read(&block, &mut found));
                match outcome {
                    // Padding, sections that are not read, and a file's end behind its last chunk.
                    Ok(()) => assert_eq!(found, whole, "{name} at {at}"),
                    Err(error) => assert!(error.contains(name), "{name} at {at}: {error}"),
                }
                trials += 1;
            }
        }
        fs::write(&file, &bytes).expect("writable");
    }
    assert!(trials > 300, "{trials} trials");
}

#[test]
fn a_folder_without_blocks_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = prometheus_blocks(folder.path()).expect_err("nothing there");
    assert!(matches!(error, PrometheusError::NoBlock { .. }));
    let missing = prometheus_blocks(&folder.path().join("nowhere")).expect_err("not there");
    assert!(missing.to_string().contains("nowhere"), "{missing}");
}
