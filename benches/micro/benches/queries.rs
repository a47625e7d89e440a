//! Queries over the engine in memory, from text to value, one thread: `cargo bench -p swell-bench-micro --bench queries`.
//! Items are series read (for label calls: answers).

use std::sync::{Arc, LazyLock};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use swell_bench_micro::cluster::{Cluster, Kind, START_MS};
use swell_engine::{Config, Db, WalSync};
use swell_env::{ManualClock, MemDir};
use swell_model::{DurationMs, SeriesSource as _, TimeRange, TimestampMs};
use swell_promql::{Budget, EvalParams, QueryOutput, QueryValue, evaluate};
use swell_promql_syntax::parse;
use swell_telemetry::Registry;

/// An hour and a bit at 15 s, in the head.
const ROWS: i64 = 260;
const STEP_MS: i64 = 15_000;
/// A day at 30 s, in blocks.
const DAY_ROWS: i64 = 2_900;
const DAY_STEP_MS: i64 = 30_000;

static HOUR: LazyLock<Db> = LazyLock::new(|| {
    let db = open();
    Cluster::new(1)
        .with_containers("container_memory_working_set_bytes", Kind::Bytes, 30_000)
        .with_containers("kube_pod_container_resource_requests", Kind::Request, 3_000)
        .with_containers("container_sockets", Kind::Bytes, 1_000)
        .with_containers("container_cpu_usage_seconds_total", Kind::CpuSeconds, 2_600)
        .with_containers("http_requests_total", Kind::Events, 400)
        .with_containers("kube_pod_info", Kind::Info, 3_000)
        .with_buckets("http_request_duration_seconds_bucket", 1_200)
        .append(&db, 0..ROWS, STEP_MS, |row| {
            if row % 64 == 0 {
                db.maintain(TimestampMs(0)).expect("maintains");
            }
        });
    db.maintain(TimestampMs(0)).expect("maintains");
    db
});

static DAY: LazyLock<Db> = LazyLock::new(|| {
    let db = open();
    Cluster::new(2)
        .with_containers("container_memory_working_set_bytes", Kind::Bytes, 500)
        .with_containers("container_cpu_usage_seconds_total", Kind::CpuSeconds, 500)
        .append(&db, 0..DAY_ROWS, DAY_STEP_MS, |row| {
            if row % 64 == 0 {
                db.maintain(TimestampMs(0)).expect("maintains");
            }
        });
    db.maintain(TimestampMs(0)).expect("maintains");
    db
});

fn open() -> Db {
    let clock = Arc::new(ManualClock::new(TimestampMs(2_000_000_000_000)));
    let config = Config { wal_sync: WalSync::Never, ..Config::standard() };
    Db::open(Arc::new(MemDir::new()), config, clock, &Registry::new()).expect("opens")
}

fn main() {
    divan::main();
}

fn run(db: &Db, query: &str, params: &EvalParams) -> QueryOutput {
    let expr = parse(query).expect("parses");
    evaluate(&expr, db, params, &Budget::default()).expect("evaluates")
}

fn bench(bencher: Bencher<'_, '_>, db: &Db, query: &str, params: EvalParams) {
    let output = run(db, query, &params);
    let answers = match &output.value {
        QueryValue::Vector(vector) => vector.len(),
        QueryValue::Matrix(matrix) => matrix.len(),
        QueryValue::Scalar(_) | QueryValue::String(..) => 1,
    };
    assert!(answers > 0, "{query} has an answer");
    let series = ItemsCount::new(output.stats.series_selected);
    bencher.counter(series).bench_local(|| black_box(run(db, query, &params)));
}

/// Right behind the last row of the hour.
fn now() -> EvalParams {
    EvalParams::instant(TimestampMs(START_MS + ROWS * STEP_MS))
}

/// An hour of steps as far apart as the samples.
fn hour() -> EvalParams {
    let end = START_MS + ROWS * STEP_MS;
    let step = DurationMs(STEP_MS);
    EvalParams::range(TimestampMs(end - 3_600_000), TimestampMs(end), step)
}

const INSTANT: [(&str, &str); 14] = [
    (
        "autoscale_gauge",
        r#"avg(container_memory_working_set_bytes{namespace="team-7",pod=~"app-7-.*"})"#,
    ),
    (
        "autoscale_rate",
        r#"sum(rate(container_cpu_usage_seconds_total{namespace="team-7",pod=~"app-7-.*"}[1m]))"#,
    ),
    ("one_series", r#"container_memory_working_set_bytes{pod=~"app-7-.*-71"}"#),
    ("sum_by_1k", "sum by (namespace) (container_sockets)"),
    ("sum_by_3k", "sum by (namespace) (kube_pod_container_resource_requests)"),
    ("sum_by_30k", "sum by (namespace) (container_memory_working_set_bytes)"),
    ("sum_without_30k", "sum without (pod, id) (container_memory_working_set_bytes)"),
    ("instant_30k", "container_memory_working_set_bytes"),
    ("topk_rate_2600", "topk(10, rate(container_cpu_usage_seconds_total[5m]))"),
    ("regex_30k", r#"count(container_memory_working_set_bytes{pod=~".*-77.*"})"#),
    ("avg_over_time_1h_1k", "avg_over_time(container_sockets[1h])"),
    (
        "join_group_left_3k",
        "sum by (node) (kube_pod_container_resource_requests * on (namespace, pod) group_left (node) kube_pod_info)",
    ),
    ("count_by_name", r#"count by (__name__) ({__name__=~".+"})"#),
    ("threshold_30k", "container_memory_working_set_bytes > 3e9 or vector(1)"),
];

#[divan::bench(args = INSTANT.map(|(name, _)| name), sample_count = 50)]
fn instant(bencher: Bencher<'_, '_>, name: &str) {
    let (_, query) = INSTANT.into_iter().find(|(known, _)| *known == name).expect("known");
    bench(bencher, &HOUR, query, now());
}

const RANGE: [(&str, &str); 6] = [
    ("panel_one_series_1h", r#"rate(container_cpu_usage_seconds_total{pod=~"app-7-.*-71"}[1m])"#),
    ("rate_400", "sum by (namespace) (rate(http_requests_total[1m]))"),
    ("rate_2600", "sum by (namespace) (rate(container_cpu_usage_seconds_total[1m]))"),
    (
        "histogram_quantile_1200",
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))",
    ),
    (
        "error_ratio",
        r#"sum(rate(http_requests_total{namespace="team-7"}[1m])) / sum(rate(http_requests_total[1m]))"#,
    ),
    ("gauge_1k", "sum by (namespace) (container_sockets)"),
];

#[divan::bench(args = RANGE.map(|(name, _)| name), sample_count = 20)]
fn range_1h_at_15s(bencher: Bencher<'_, '_>, name: &str) {
    let (_, query) = RANGE.into_iter().find(|(known, _)| *known == name).expect("known");
    bench(bencher, &HOUR, query, hour());
}

const LONG: [(&str, &str); 6] = [
    ("avg_over_time_24h_bytes", "avg_over_time(container_memory_working_set_bytes[24h])"),
    ("avg_over_time_24h_seconds", "avg_over_time(container_cpu_usage_seconds_total[24h])"),
    ("max_over_time_24h", "max_over_time(container_memory_working_set_bytes[24h])"),
    ("increase_24h", "increase(container_cpu_usage_seconds_total[24h])"),
    ("quantile_over_time_24h", "quantile_over_time(0.9, container_memory_working_set_bytes[24h])"),
    ("instant_in_a_day_block", "sum(container_memory_working_set_bytes offset 12h)"),
];

#[divan::bench(args = LONG.map(|(name, _)| name), sample_count = 10)]
fn day(bencher: Bencher<'_, '_>, name: &str) {
    let (_, query) = LONG.into_iter().find(|(known, _)| *known == name).expect("known");
    let at = TimestampMs(START_MS + DAY_ROWS * DAY_STEP_MS);
    bench(bencher, &DAY, query, EvalParams::instant(at));
}

#[divan::bench(sample_count = 50)]
fn label_values_of_30k_pods(bencher: Bencher<'_, '_>) {
    let values = || HOUR.label_values("pod", &[], TimeRange::ALL).expect("readable");
    bencher.counter(ItemsCount::new(values().len())).bench_local(values);
}
