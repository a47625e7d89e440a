//! A small made-up machine that comes with the repository: all collectors that read files, ticks in a
//! row, and what happens when files are missing or a mount is dead.

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use swell_model::{Labels, METRIC_NAME, Pass, TimestampMs, is_stale_nan};
use swell_source_node::{FilesystemStat, NodeSource, Statfs};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture")
}

fn disk_of_ten() -> Statfs {
    Arc::new(|_| {
        Ok(FilesystemStat {
            size_bytes: 1000,
            free_bytes: 500,
            avail_bytes: 400,
            files: 10,
            files_free: 9,
        })
    })
}

/// The fixture's mount table speaks of `/`, so that is the root.
fn made_up() -> swell_source_node::Config {
    let mut config = support::recorded(&fixture());
    config.roots.rootfs = "/".into();
    config
}

#[test]
fn the_exposition_is_as_written_down() {
    let mut source = NodeSource::with_statfs(&made_up(), support::no_time(), disk_of_ten());
    let delta = support::collect(&mut source, &mut Pass::new(), TimestampMs(5_000));
    let mut text = String::new();
    for (labels, value) in support::by_labels(&delta) {
        if labels.metric_name() != Some("node_uname_info") {
            writeln!(text, "{labels} {value}").unwrap();
        }
    }
    let expected_path = fixture().join("expected.txt");
    let expected = std::fs::read_to_string(&expected_path).unwrap();
    for (idx, (found, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {} of {}", idx + 1, expected_path.display());
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

#[test]
fn series_keep_their_numbers_and_carry_the_job() {
    let mut config = made_up();
    config.extra_labels = vec![("cluster".to_owned(), "c1".to_owned())];
    let mut source = NodeSource::with_statfs(&config, support::no_time(), disk_of_ten());
    let mut pass = Pass::new();
    let first = support::collect(&mut source, &mut pass, TimestampMs(1_000));
    for (_, labels) in &first.announced {
        let of = ["job", "instance", "cluster"].map(|name| labels.get(name));
        assert_eq!(of, [Some("node"), Some("recorded:9100"), Some("c1")], "{labels}");
    }
    let up = Labels::from_pairs([(METRIC_NAME, "up"), ("cluster", "c1")]);
    assert_eq!(support::by_labels(&first).get(&up), Some(&1.0));
    // the second is within, the third beyond all slow intervals
    for at in [2_000, 120_000] {
        let next = support::collect(&mut source, &mut pass, TimestampMs(at));
        assert_eq!((next.announced.len(), next.retired.len()), (0, 0), "at {at}");
        assert_eq!(next.samples.len(), first.samples.len());
    }
}

#[test]
fn a_collector_without_its_files_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    support::copy_tree(&fixture(), dir.path());
    std::fs::remove_file(dir.path().join("proc/meminfo")).unwrap();
    std::fs::write(dir.path().join("proc/loadavg"), "garbage").unwrap();
    let mut config = support::recorded(dir.path());
    config.roots.rootfs = "/".into();
    let mut source = NodeSource::with_statfs(&config, support::no_time(), disk_of_ten());
    let mut pass = Pass::new();
    let first = support::collect(&mut source, &mut pass, TimestampMs(1_000));
    let failures: Vec<String> = source
        .failures()
        .map(|(name, error)| format!("{name}: {error}").replace(&*dir.path().to_string_lossy(), ""))
        .collect();
    assert_eq!(
        failures,
        [
            "conntrack: read /proc/sys/net/netfilter/nf_conntrack_count",
            "loadavg: /proc/loadavg: three load averages are expected at its start",
            "meminfo: read /proc/meminfo",
        ]
    );
    let success = |collector| {
        let labels = [(METRIC_NAME, "node_scrape_collector_success"), ("collector", collector)];
        support::by_labels(&first)[&Labels::from_pairs(labels)]
    };
    assert_eq!([success("meminfo"), success("loadavg"), success("cpu")], [0.0, 0.0, 1.0]);

    // it comes back with its files, and what goes away is marked stale
    std::fs::copy(fixture().join("proc/meminfo"), dir.path().join("proc/meminfo")).unwrap();
    std::fs::remove_file(dir.path().join("proc/vmstat")).unwrap();
    std::fs::write(dir.path().join("proc/pressure/io"), "").unwrap();
    let second = support::collect(&mut source, &mut pass, TimestampMs(2_000));
    assert_eq!(second.announced.len(), 5, "the five lines of meminfo");
    let stale = second.samples.iter().filter(|(_, value)| is_stale_nan(*value)).count();
    assert_eq!(stale, 2, "both io pressures; the open vmstat still answers");
}

#[test]
fn a_dead_mount_does_not_hold_up_the_pass() {
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let hang: Statfs = {
        let gate = gate.clone();
        Arc::new(move |_| {
            let mut is_dead = gate.0.lock().unwrap();
            while *is_dead {
                is_dead = gate.1.wait(is_dead).unwrap();
            }
            Ok(FilesystemStat::default())
        })
    };
    let mut source = NodeSource::with_statfs(&made_up(), support::no_time(), hang);
    let mut pass = Pass::new();
    let mut filesystem = |pass: &mut Pass, at| {
        source.collect(TimestampMs(at), pass);
        let mut live: Vec<(_, Labels)> =
            pass.live().map(|(number, labels)| (number, labels.clone())).collect();
        live.retain(|(_, labels)| labels.get(METRIC_NAME).unwrap().starts_with("node_filesystem_"));
        let delta = pass.finish(TimestampMs(at));
        let recorded = |number| delta.samples.iter().find(|(of, _)| *of == number);
        live.into_iter()
            .filter_map(|(number, labels)| recorded(number).map(|(_, value)| (labels, *value)))
            .filter(|(_, value)| !is_stale_nan(*value))
            .map(|(labels, value)| {
                let name = labels.metric_name().unwrap().to_owned();
                format!("{name} {:?} {value}", labels.get("device_error"))
            })
            .collect::<Vec<_>>()
    };
    assert!(filesystem(&mut pass, 0).is_empty(), "nothing is known yet");
    assert_eq!(
        filesystem(&mut pass, 6_000),
        [
            "node_filesystem_device_error Some(\"mountpoint timeout\") 1",
            "node_filesystem_readonly Some(\"mountpoint timeout\") 1"
        ]
    );
    *gate.0.lock().unwrap() = false;
    gate.1.notify_all();
    let mut shown = Vec::new();
    for _ in 0..5_000 {
        shown = filesystem(&mut pass, 7_000);
        if shown.len() == 7 {
            break;
        }
        std::thread::yield_now();
    }
    assert!(shown.contains(&"node_filesystem_device_error None 0".to_owned()), "{shown:?}");
}

#[test]
fn this_machine_is_read() {
    let config = swell_source_node::Config::machine("here");
    let mut source = NodeSource::new(&config, support::no_time());
    let delta = support::collect(&mut source, &mut Pass::new(), TimestampMs(1_000));
    let samples = support::by_labels(&delta);
    let has = |name: &str| samples.keys().any(|labels| labels.metric_name() == Some(name));
    for name in [
        "node_cpu_seconds_total",
        "node_load1",
        "node_memory_MemTotal_bytes",
        "node_network_receive_bytes_total",
        "node_uname_info",
        "node_boot_time_seconds",
    ] {
        assert!(has(name), "{name}");
    }
}
