//! Queries over the engine in memory, from text to value: `cargo bench -p swell-bench-micro --bench queries -- PART…`,
//! all of those whose name contains one of the parts. CPU time of the process, so that other work on the machine counts
//! less; the first run is shown apart, since it finds nothing prepared.

use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use swell_bench_micro::cluster::{Cluster, Kind, START_MS};
use swell_bench_micro::timing::{process_cpu, quantile};
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

fn run(db: &Db, query: &str, params: &EvalParams) -> QueryOutput {
    let expr = parse(query).expect("parses");
    evaluate(&expr, db, params, &Budget::default()).expect("evaluates")
}

/// A query, over which data and when.
struct Case<'a> {
    name: &'a str,
    query: &'static str,
    db: &'static LazyLock<Db>,
    params: EvalParams,
}

/// Runs of a case: as many as fit this time, between these two numbers.
const ENOUGH: Duration = Duration::from_millis(400);
const RUNS_MIN: usize = 5;
const RUNS_MAX: usize = 300;

/// Repeats a piece of work, the end of its answer included, and prints what it took, in all and for each item.
fn measure<T>(name: &str, mut work: impl FnMut() -> T, items: impl Fn(&T) -> usize) {
    let mut took = || {
        let start = process_cpu();
        let answer = black_box(work());
        let count = items(&answer);
        drop(answer);
        (count, process_cpu().saturating_sub(start))
    };
    let (count, first) = took();
    let mut runs = Vec::new();
    while runs.len() < RUNS_MIN || (runs.len() < RUNS_MAX && runs.iter().sum::<Duration>() < ENOUGH)
    {
        runs.push(took().1);
    }
    let (min, median) = (quantile(&mut runs, 0.0), quantile(&mut runs, 0.5));
    let each = min / u32::try_from(count.max(1)).expect("few items");
    println!("{name:<36}{first:>12.1?}{min:>12.1?}{median:>12.1?}{count:>9}{each:>12.1?}");
}

impl Case<'_> {
    fn measure(&self) {
        LazyLock::force(self.db);
        measure(
            self.name,
            || run(self.db, self.query, &self.params),
            |output| {
                let answers = match &output.value {
                    QueryValue::Vector(vector) => vector.len(),
                    QueryValue::Matrix(matrix) => matrix.len(),
                    QueryValue::Scalar(_) | QueryValue::String(..) => 1,
                };
                assert!(answers > 0, "{} has an answer", self.query);
                output.stats.series_selected
            },
        );
    }
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

type Query = (&'static str, &'static str);

const INSTANT: [Query; 18] = [
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
    (
        "histogram_quantile_1200",
        r#"histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"#,
    ),
    ("quantile_over_time_1h_1k", "quantile_over_time(0.9, container_sockets[1h])"),
    ("stddev_over_time_1h_1k", "stddev_over_time(container_sockets[1h])"),
    ("sum_of_30k_plus_one", "sum by (namespace) (container_memory_working_set_bytes + 1)"),
];

const RANGE: [Query; 12] = [
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
    ("rate_2600_by_series", "rate(container_cpu_usage_seconds_total[5m])"),
    ("max_of_rate_2600", "max by (node) (rate(container_cpu_usage_seconds_total[5m]))"),
    ("stddev_over_time_10m_1k", "sum(stddev_over_time(container_sockets[10m]))"),
    ("deriv_10m_1k", "sum(deriv(container_sockets[10m]))"),
    ("quantile_over_time_10m_1k", "sum(quantile_over_time(0.9, container_sockets[10m]))"),
    ("topk_rate_2600", "topk(10, rate(container_cpu_usage_seconds_total[5m]))"),
];

const LONG: [Query; 6] = [
    ("avg_over_time_24h_bytes", "avg_over_time(container_memory_working_set_bytes[24h])"),
    ("avg_over_time_24h_seconds", "avg_over_time(container_cpu_usage_seconds_total[24h])"),
    ("max_over_time_24h", "max_over_time(container_memory_working_set_bytes[24h])"),
    ("increase_24h", "increase(container_cpu_usage_seconds_total[24h])"),
    ("quantile_over_time_24h", "quantile_over_time(0.9, container_memory_working_set_bytes[24h])"),
    ("instant_in_a_day_block", "sum(container_memory_working_set_bytes offset 12h)"),
];

fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
    let day_end = TimestampMs(START_MS + DAY_ROWS * DAY_STEP_MS);
    let columns = ["", "first", "fastest", "median", "items", "each"];
    let [name, first, min, median, items, each] = columns;
    println!("{name:<36}{first:>12}{min:>12}{median:>12}{items:>9}{each:>12}");
    for (kind, queries, db, params) in [
        ("instant", &INSTANT[..], &HOUR, now()),
        ("hour", &RANGE[..], &HOUR, hour()),
        ("day", &LONG[..], &DAY, EvalParams::instant(day_end)),
    ] {
        for (name, query) in queries {
            let name = format!("{kind} {name}");
            if is_wanted(&name) {
                Case { name: &name, query, db, params }.measure();
            }
        }
    }
    if is_wanted("label values of 30k pods") {
        let values = || HOUR.label_values("pod", &[], TimeRange::ALL).expect("readable");
        LazyLock::force(&HOUR);
        measure("label values of 30k pods", values, Vec::len);
    }
}
