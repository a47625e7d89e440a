//! Bodies, one after the other, on one target.

use std::sync::Arc;

use swell_exposition::{BodyFormat, Format, HistogramOptions};
use swell_model::{DurationMs, Labels, MetricKind, TimestampMs};
use swell_relabel::{Action, Rule, RuleSpec};

use super::memory::Memory;
use crate::claims::Claimed;
use crate::config::{Limits, ScrapeConfig};
use crate::described::{Described, FamilyCatalog};
use crate::ingest::{IngestError, Ingested, TargetSeries};

struct Bench {
    memory: Memory,
    series: TargetSeries,
    config: ScrapeConfig,
    now: TimestampMs,
}

impl Bench {
    fn new() -> Self {
        Self::of(&[("job", "j"), ("instance", "i")])
    }

    /// With a target of these labels.
    fn of(labels: &[(&str, &str)]) -> Self {
        let labels = Labels::from_pairs(labels.iter().copied());
        let described = Described::new(&Arc::new(FamilyCatalog::new()));
        Self {
            memory: Memory::default(),
            series: TargetSeries::new(labels, Claimed::alone(), described),
            config: ScrapeConfig::new("j", DurationMs(1000), DurationMs(1000)),
            now: TimestampMs(0),
        }
    }

    fn scrape(&mut self, body: &str) -> Result<Ingested, IngestError> {
        self.now += DurationMs(1000);
        let outcome = self.series.ingest(
            body.as_bytes(),
            BodyFormat::Text(Format::Text),
            self.now,
            &self.config,
            &self.memory,
        );
        if outcome.is_err() {
            self.series.end_all(self.now, &self.memory).expect("the storage takes markers");
        }
        outcome
    }

    fn counts(&mut self, body: &str) -> (usize, usize, usize) {
        let ingested = self.scrape(body).expect("a good body");
        (ingested.scraped, ingested.kept, ingested.added)
    }

    fn check(&self, name: &str, expected: &[&str]) {
        let labels = format!(r#"{name}{{instance="i", job="j"}}"#);
        assert_eq!(self.memory.values(&labels), expected, "{name} of {:?}", self.memory.names());
    }
}

fn rule(spec: RuleSpec) -> Rule {
    Rule::new(spec).expect("a valid rule")
}

#[test]
fn known_texts_build_no_labels() {
    let mut bench = Bench::new();
    assert_eq!(bench.counts("a 1\nb 2\n"), (2, 2, 2));
    assert_eq!(bench.counts("a 3\nb 4\n"), (2, 2, 0));
    assert_eq!(bench.memory.resolved(), 2);
    assert_eq!(bench.counts("a 5\nb 6\nc 7\n"), (3, 3, 1));
    bench.check("a", &["1", "3", "5"]);
    bench.check("c", &["7"]);
}

#[test]
fn types_and_units_are_labels_where_that_is_switched_on() {
    let mut bench = Bench::new();
    bench.config.type_and_unit_labels = true;
    bench.config.metric_relabel = vec![rule(RuleSpec {
        source_labels: Some(vec!["__type__".to_owned()]),
        regex: Some("gauge".to_owned()),
        target_label: Some("kind".to_owned()),
        replacement: Some("up and down".to_owned()),
        ..RuleSpec::default()
    })];
    let body = "# TYPE c_total counter\nc_total{__type__=\"mine\"} 1\nother{__type__=\"mine\"} 2\n\
                # TYPE g gauge\ng 3\n";
    assert_eq!(bench.counts(body), (3, 3, 3));
    let same = r#"instance="i", job="j""#;
    let counter = format!(r#"c_total{{__type__="counter", {same}}}"#);
    let gauge = format!(r#"g{{__type__="gauge", {same}, kind="up and down"}}"#);
    let other = format!(r#"other{{__type__="mine", {same}}}"#);
    assert_eq!(bench.memory.names(), [counter.clone(), gauge.clone(), other.clone()]);
    assert_eq!(bench.counts(body), (3, 3, 0));
    // The same texts mean other series once their family is said to be another.
    let changed = body.replace("gauge", "untyped").replace("counter", "gauge");
    assert_eq!(bench.counts(&changed), (3, 3, 2));
    assert_eq!(bench.memory.values(&counter), ["1", "1", "stale"]);
    assert_eq!(bench.memory.values(&gauge), ["3", "3", "stale"]);
    assert_eq!(bench.memory.values(&other), ["2", "2", "2"]);
    let bare = format!("g{{{same}}}");
    assert_eq!(bench.memory.values(&bare), ["3"]);
    let turned = format!(r#"c_total{{__type__="gauge", {same}, kind="up and down"}}"#);
    assert_eq!(bench.memory.values(&turned), ["1"]);
    assert_eq!(bench.counts(&changed), (3, 3, 0));
}

#[test]
fn series_that_vanish_end_once_and_may_come_back() {
    let mut bench = Bench::new();
    bench.counts("a 1\nb 2\n");
    bench.counts("a 1\n");
    bench.counts("a 1\n");
    assert_eq!(bench.counts("a 1\nb 3\n"), (2, 2, 1));
    bench.check("a", &["1", "1", "1", "1"]);
    bench.check("b", &["2", "stale", "3"]);
}

#[test]
fn a_bad_line_spoils_the_scrape_and_ends_what_was_live() {
    let mut bench = Bench::new();
    bench.counts("a 1\n");
    let error = bench.scrape("a 2\nnew 1\nb oops\n").expect_err("line 3 is bad");
    assert_eq!(error.to_string(), "line 3: \"oops\" is not a number");
    bench.check("a", &["1", "stale"]);
    bench.check("new", &[]);
    bench.counts("a 3\n");
    bench.check("a", &["1", "stale", "3"]);
    let error = bench.scrape("a{x=\"1\",x=\"2\"} 1\n").expect_err("a label twice");
    assert!(matches!(error, IngestError::RepeatedLabel(_)), "{error}");
}

#[test]
fn series_that_come_back_after_a_failure_are_not_new() {
    let mut bench = Bench::new();
    assert_eq!(bench.counts("a 1\nb 2\n"), (2, 2, 2));
    bench.scrape("a 2\nnew 1\nb oops\n").expect_err("line 3 is bad");
    // The target cannot be reached.
    bench.now += DurationMs(1000);
    bench.series.end_all(bench.now, &bench.memory).expect("the storage takes markers");
    assert_eq!(bench.counts("a 3\nb 4\n"), (2, 2, 0));
    bench.check("a", &["1", "stale", "3"]);
    bench.check("b", &["2", "stale", "4"]);
    assert_eq!(bench.counts("a 3\nb 4\nnew 1\n"), (3, 3, 1), "what failed was not stored");
    bench.scrape("b oops\n").expect_err("no number");
    assert_eq!(bench.counts("a 5\n"), (1, 1, 0));
    assert_eq!(bench.counts("a 6\nb 6\n"), (2, 2, 1), "not brought by the scrape before");
    bench.check("a", &["1", "stale", "3", "3", "stale", "5", "6"]);
    bench.check("b", &["2", "stale", "4", "4", "stale", "6"]);
}

#[test]
fn own_timestamps_count_and_such_series_do_not_end() {
    let mut bench = Bench::new();
    bench.counts("a 1 500\nb 1\n");
    bench.counts("b 2\n");
    let at_half_a_second = [(500, 1.0)];
    assert_eq!(bench.memory.samples(r#"a{instance="i", job="j"}"#), at_half_a_second);
    bench.config.honor_timestamps = false;
    bench.counts("a 1 500\nb 3\n");
    bench.counts("b 4\n");
    bench.check("a", &["1", "1", "stale"]);
}

#[test]
fn labels_of_the_target_win_unless_the_job_honours_others() {
    let mut bench = Bench::new();
    let body = "a{job=\"own\",exported_instance=\"e\",instance=\"\"} 1\n";
    bench.counts(body);
    assert_eq!(
        bench.memory.names(),
        [r#"a{exported_instance="e", exported_job="own", instance="i", job="j"}"#]
    );
    let mut bench = Bench::new();
    bench.counts("a{job=\"own\",exported_job=\"e\"} 1\n");
    let renamed = r#"a{exported_exported_job="own", exported_job="e", instance="i", job="j"}"#;
    assert_eq!(bench.memory.names(), [renamed]);
    let mut bench = Bench::new();
    bench.config.honor_labels = true;
    bench.counts(body);
    assert_eq!(bench.memory.names(), [r#"a{exported_instance="e", job="own"}"#]);
}

#[test]
fn of_labels_that_collide_the_shorter_name_chooses_first() {
    for (target, exposed, expected) in [
        (
            &[("foo", "2"), ("exported_foo", "3")][..],
            r#"m{foo="1"}"#,
            r#"m{exported_exported_foo="1", exported_foo="3", foo="2"}"#,
        ),
        (
            &[("exported_foo", "2")],
            r#"m{exported_foo="1"}"#,
            r#"m{exported_exported_foo="1", exported_foo="2"}"#,
        ),
        (
            &[("foo", "3"), ("exported_foo", "4")],
            r#"m{foo="1",exported_foo="2"}"#,
            r#"m{exported_exported_exported_foo="2", exported_exported_foo="1", exported_foo="4", foo="3"}"#,
        ),
        (
            &[
                ("foo", "0"),
                ("exported_exported_foo", "1"),
                ("exported_exported_exported_foo", "2"),
            ],
            r#"m{foo="3",exported_foo="4",exported_exported_exported_foo="5"}"#,
            r#"m{exported_exported_exported_exported_exported_foo="5", exported_exported_exported_exported_foo="3", exported_exported_exported_foo="2", exported_exported_foo="1", exported_foo="4", foo="0"}"#,
        ),
    ] {
        let mut bench = Bench::of(target);
        bench.counts(&format!("{exposed} 1\n"));
        assert_eq!(bench.memory.names(), [expected], "{target:?} {exposed}");
    }
}

fn without_go() -> Rule {
    rule(RuleSpec {
        source_labels: Some(vec!["__name__".to_owned()]),
        regex: Some("go_.*".to_owned()),
        action: Action::Drop,
        ..RuleSpec::default()
    })
}

#[test]
fn metric_relabelling_drops_and_renames() {
    let mut bench = Bench::new();
    bench.config.metric_relabel = vec![
        without_go(),
        rule(RuleSpec {
            regex: Some("request_id".to_owned()),
            action: Action::LabelDrop,
            ..RuleSpec::default()
        }),
    ];
    assert_eq!(bench.counts("go_threads 1\na{request_id=\"1\"} 5\n"), (2, 1, 1));
    // Another text for the same series: it goes on, and nothing ends.
    assert_eq!(bench.counts("go_threads 1\na{request_id=\"2\"} 6\n"), (2, 1, 0));
    bench.check("a", &["5", "6"]);
    bench.check("go_threads", &[]);
    bench.config.metric_relabel = vec![rule(RuleSpec {
        target_label: Some("__name__".to_owned()),
        replacement: Some(String::new()),
        ..RuleSpec::default()
    })];
    bench.series.forget_texts();
    let error = bench.scrape("a 1\n").expect_err("no name");
    assert!(matches!(error, IngestError::NameMissing { .. }), "{error}");
}

#[test]
fn a_series_twice_in_a_body_is_stored_once() {
    let mut bench = Bench::new();
    let ingested =
        bench.scrape("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\nb 1\nb 1\n").expect("good");
    assert_eq!((ingested.scraped, ingested.kept, ingested.repeated), (4, 4, 2));
    assert_eq!(bench.memory.values(r#"a{instance="i", job="j", x="1", y="2"}"#), ["1"]);
}

#[test]
fn limits_fail_the_scrape_as_a_whole() {
    let limited = |limits: Limits, body: &str| {
        let mut bench = Bench::new();
        bench.counts("a 1\n");
        bench.config.limits = limits;
        let error = bench.scrape(body).expect_err("too much").to_string();
        bench.check("a", &["1", "stale"]);
        (error, bench.memory.resolved())
    };
    let (error, resolved) =
        limited(Limits { samples_max: Some(2), ..Limits::default() }, "a 1\nb 1\nc 1\nd 1\n");
    assert_eq!(error, "the scrape has 4 samples, more than the limit of 2");
    assert_eq!(resolved, 2, "no series are made beyond the limit");
    for (limits, part) in [
        (Limits { labels_max: Some(3), ..Limits::default() }, "a number of labels of 4"),
        (Limits { label_name_bytes_max: Some(9), ..Limits::default() }, "name length of 10"),
        (Limits { label_value_bytes_max: Some(4), ..Limits::default() }, "value length of 5"),
    ] {
        let (error, _) = limited(limits, "a 1\nb{long_label=\"value\"} 1\n");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn too_many_samples_are_counted_with_what_relabelling_drops() {
    let mut bench = Bench::new();
    bench.config.metric_relabel = vec![without_go()];
    bench.config.limits.samples_max = Some(1);
    let error = bench.scrape("go_threads 1\na 1\nb 1\n").expect_err("too much");
    let counts = matches!(error, IngestError::SampleLimit { scraped: 3, count: 2, limit: 1 });
    assert!(counts, "{error:?}");
}

#[test]
fn references_that_the_storage_forgot_are_asked_for_anew() {
    let mut bench = Bench::new();
    bench.counts("a 1\n");
    bench.memory.forget();
    bench.counts("a 2\n");
    bench.counts("a 3\n");
    bench.check("a", &["1", "2", "3"]);
}

#[test]
fn a_storage_that_takes_nothing_fails_the_scrape() {
    let mut bench = Bench::new();
    bench.memory.read_only();
    let outcome = bench.series.ingest(
        b"a 1\n",
        BodyFormat::Text(Format::Text),
        TimestampMs(1),
        &bench.config,
        &bench.memory,
    );
    assert!(matches!(outcome, Err(IngestError::Append(_))), "{outcome:?}");
}

#[test]
fn what_one_format_allows_is_no_series_of_the_other() {
    let mut bench = Bench::new();
    let line = "a{ b = \"1\" } 1\n";
    bench.counts(line);
    let body = format!("{line}# EOF\n");
    let format = BodyFormat::Text(Format::OpenMetrics);
    let (config, memory) = (&bench.config, &bench.memory);
    let outcome = bench.series.ingest(body.as_bytes(), format, TimestampMs(5000), config, memory);
    assert!(matches!(outcome, Err(IngestError::Body(_))), "{outcome:?}");
}

#[test]
fn families_are_described_when_they_change() {
    let mut bench = Bench::new();
    let body = "# TYPE a counter\n# HELP a What it counts.\na 1\n";
    bench.counts(body);
    let metadata = bench.memory.described("a").expect("described");
    assert_eq!((metadata.kind, metadata.help.as_str()), (MetricKind::Counter, "What it counts."));
    bench.counts(&body.replace("counter", "gauge"));
    assert_eq!(bench.memory.described("a").expect("described").kind, MetricKind::Gauge);
}

#[test]
fn a_target_knows_the_families_of_its_own_last_scrapes() {
    let mut bench = Bench::new();
    let names = |bench: &Bench| -> Vec<String> {
        let families = bench.series.described().families();
        families.iter().map(|family| family.metric_name.clone()).collect()
    };
    bench.counts("# TYPE b counter\nb 1\n# HELP a What it counts.\na 1\n");
    assert_eq!(names(&bench), ["a", "b"]);
    bench.scrape("a{").expect_err("no body");
    assert_eq!(names(&bench), ["a", "b"], "a failed scrape forgets nothing");
    // Not even a comment says what they are any more, and then for ten scrapes.
    for _ in 0..9 {
        bench.counts("a 1\n");
    }
    assert_eq!(names(&bench), ["a", "b"]);
    for _ in 0..2 {
        bench.counts("a 1\n");
    }
    assert_eq!(names(&bench), Vec::<String>::new());
}

#[test]
fn many_changing_texts_do_not_pile_up() {
    let mut bench = Bench::new();
    for round in 0..50 {
        bench.counts(&format!("a{{id=\"{round}\"}} 1\n"));
    }
    let shown = format!("{:?}", bench.series);
    assert!(shown.contains("id=\\\"49"), "{shown}");
    assert!(!shown.contains("id=\\\"48"), "{shown}");
}

#[test]
fn exemplars_are_stored_with_their_series() {
    let mut bench = Bench::new();
    let body = b"# TYPE a counter\na_total 1 # {trace_id=\"x\"} 0.5 3.25\nb 2 # {trace_id=\"y\"} 2\n# EOF\n";
    let at = TimestampMs(5000);
    let format = Format::OpenMetrics;
    let (config, memory) = (&bench.config, &bench.memory);
    bench.series.ingest(body, BodyFormat::Text(format), at, config, memory).expect("a good body");
    let found: Vec<(String, String, f64, i64)> = memory
        .exemplars()
        .into_iter()
        .map(|(series, e)| (series, e.labels.to_string(), e.value, e.timestamp.0))
        .collect();
    let series = |name: &str| format!(r#"{name}{{instance="i", job="j"}}"#);
    let expected = [
        (series("a_total"), r#"{trace_id="x"}"#.to_owned(), 0.5, 3250),
        (series("b"), r#"{trace_id="y"}"#.to_owned(), 2.0, 5000),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_exemplar_without_a_time_is_stored_once_while_it_stands() {
    let mut bench = Bench::new();
    let timed = r#"{trace_id="t"} 1 3.25"#;
    for (exemplar, stored) in [
        (r#"{trace_id="x"} 0.5"#, 1),
        (r#"{trace_id="x"} 0.5"#, 1),
        (r#"{trace_id="x"} 0.75"#, 2),
        (r#"{trace_id="y"} 0.75"#, 3),
        (r#"{trace_id="y"} 0.75"#, 3),
        (r#"{trace_id="x"} 0.5"#, 4),
        // The storage sees to those that have a time.
        (timed, 5),
        (timed, 6),
    ] {
        bench.now += DurationMs(1000);
        let body = format!("# TYPE c counter\nc_total 1 # {exemplar}\n# EOF\n");
        let format = BodyFormat::Text(Format::OpenMetrics);
        let (config, memory, at) = (&bench.config, &bench.memory, bench.now);
        bench.series.ingest(body.as_bytes(), format, at, config, memory).expect("a good body");
        assert_eq!(bench.memory.exemplars().len(), stored, "{exemplar}");
    }
    let newest = bench.memory.exemplars()[3].1.timestamp;
    assert_eq!(newest, TimestampMs(6000), "the time of its scrape");
}

#[test]
fn series_that_find_no_room_are_shed_and_the_others_go_on() {
    let mut bench = Bench::new();
    assert_eq!(bench.counts("a 1\nb 1\n"), (2, 2, 2));
    bench.memory.limit_series(2);
    let ingested = bench.scrape("a 2\nb 2\nc 2\nd 2\n").expect("not refused as a whole");
    assert_eq!((ingested.scraped, ingested.kept, ingested.shed), (4, 2, 2));
    let reason = bench.series.take_shed_reason().expect("some were shed");
    assert!(reason.contains("no room"), "{reason}");
    assert_eq!(bench.series.take_shed_reason(), None);
    let resolved = bench.memory.resolved();
    bench.scrape("a 3\nb 3\nc 3\nd 3\n").expect("goes on");
    assert_eq!(bench.memory.resolved(), resolved, "they are not offered each time");
    bench.check("a", &["1", "2", "3"]);
    bench.memory.limit_series(0);
    for _ in 0..10 {
        bench.scrape("a 4\nb 4\nc 4\nd 4\n").expect("goes on");
    }
    assert!(bench.memory.last(r#"c{instance="i", job="j"}"#).is_some(), "there is room again");
}

/// A histogram `lat{p="/"}` with 13 observations: an `io.prometheus.client.MetricFamily` behind its length.
const PROTOBUF: &[u8] = b"\x49\x0a\x03lat\x18\x04\x22\x40\x0a\x06\x0a\x01p\x12\x01/\x3a\x36\x08\x0d\x11\x66\x66\x66\x66\x66\x66\x32\x40\
\x28\x02\x31\xfc\xa9\xf1\xd2\x4d\x62\x50\x3f\x38\x02\x4a\x04\x08\x00\x10\x02\x50\x04\x50\x04\x62\x04\x08\x00\x10\x02\x62\x04\x08\x02\x10\x02\
\x68\x02\x68\x02\x68\x01\x68\x00";

#[test]
fn native_histograms_are_stored_and_end_like_other_series() {
    let mut bench = Bench::new();
    bench.config.histograms.native = true;
    let memory = &bench.memory;
    let ingested = bench
        .series
        .ingest(PROTOBUF, BodyFormat::Protobuf, TimestampMs(1000), &bench.config, memory)
        .expect("a good body");
    assert_eq!((ingested.scraped, ingested.kept, ingested.added), (1, 1, 1));
    let stored = memory.histograms();
    let labels = r#"lat{instance="i", job="j", p="/"}"#;
    assert_eq!((stored.len(), stored[0].0.as_str()), (1, labels));
    assert_eq!((stored[0].1.value.count, stored[0].1.timestamp), (13.0, TimestampMs(1000)));
    let nothing = b"";
    bench
        .series
        .ingest(nothing, BodyFormat::Protobuf, TimestampMs(2000), &bench.config, memory)
        .expect("an empty body");
    assert_eq!(memory.values(labels), ["stale"]);

    // Without the setting the classic parts stand for it.
    bench.config.histograms.native = false;
    let memory = &bench.memory;
    let ingested = bench
        .series
        .ingest(PROTOBUF, BodyFormat::Protobuf, TimestampMs(3000), &bench.config, memory)
        .expect("a good body");
    assert_eq!(ingested.kept, 3, "count, sum, the bucket of all");
    // A target may have it otherwise than its job.
    let native = HistogramOptions { native: true, ..HistogramOptions::default() };
    bench.series.take_histograms(native);
    let ingested = bench
        .series
        .ingest(PROTOBUF, BodyFormat::Protobuf, TimestampMs(3500), &bench.config, memory)
        .expect("a good body");
    assert_eq!(ingested.kept, 1);
    let cut = &PROTOBUF[..PROTOBUF.len() - 1];
    let outcome =
        bench.series.ingest(cut, BodyFormat::Protobuf, TimestampMs(4000), &bench.config, memory);
    assert!(matches!(outcome, Err(IngestError::Body(_))), "{outcome:?}");
}
