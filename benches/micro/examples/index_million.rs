//! The label index of a million generated series: its size, and how long questions take:
//! `cargo run --release -p swell-bench-micro --example index_million -- [SERIES [ROUNDS]]`, default 1000000 200.

use anyhow::ensure;
use swell_bench_gen::{Cluster, Numbers, Scale};
use swell_bench_micro::timing::{Timer, quantile, ratio};
use swell_index::{LabelIndex, MemoryIndex, SliceIndex, select, write_index};
use swell_model::{Labels, MatchOp, Matcher};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(Ok(default), |arg| arg.parse());
    let (series_count, rounds) = (number(1_000_000)?, number(200)?);
    let cluster = Cluster::new(Scale { series_count, ..Scale::standard() });
    let mut series: Vec<Labels> = cluster.targets.into_iter().flat_map(|t| t.labels).collect();
    series.sort();
    let timer = Timer;
    let mut bytes = Vec::new();
    let ((), took) = timer.measure(|| write_index(&series, &mut bytes));
    let per_series = ratio(bytes.len() as u64, series.len());
    println!(
        "{} series: {} bytes, {per_series:.1} a series, written in {took:.1?}",
        series.len(),
        bytes.len()
    );
    let text: usize = series.iter().map(Labels::text_bytes).sum();
    println!("label text: {:.1} bytes a series", ratio(text as u64, series.len()));
    let index = SliceIndex::new(bytes)?;
    println!("block index");
    ask(&index, &series, rounds, &timer)?;
    ask_labels(&index, &series, rounds, &timer)?;
    let mut memory = MemoryIndex::default();
    let ((), took) = timer.measure(|| {
        for labels in &series {
            memory.insert(labels);
        }
    });
    println!(
        "head index, {:.0} ns an insert",
        ratio(u64::try_from(took.as_nanos())?, series.len())
    );
    ask(&memory, &series, rounds, &timer)
}

/// Questions as dashboards ask them; of each the median and the 99th percentile.
fn ask<I: LabelIndex>(
    asked: &I,
    series: &[Labels],
    rounds: usize,
    timer: &Timer,
) -> anyhow::Result<()>
where
    I::Error: std::error::Error + Send + Sync + 'static,
{
    let mut numbers = Numbers(3);
    let mut any = |name: &str| loop {
        let nr = numbers.below(u32::try_from(series.len()).unwrap_or(u32::MAX));
        if let Some(value) = series[nr as usize].get(name) {
            return value.to_owned();
        }
    };
    let regex = |name: &str, pattern: String| Matcher::new(name, MatchOp::Regex, pattern);
    let not = |name: &str, value: String| Matcher::new(name, MatchOp::NotEqual, value);
    let name = |name: &str| Matcher::equal("__name__", name);
    type Questions = Vec<Vec<Matcher>>;
    let mut questions: Vec<(&str, Questions)> = Vec::new();
    let mut add = |what, make: &mut dyn FnMut() -> anyhow::Result<Vec<Matcher>>| {
        let asked: anyhow::Result<Questions> = (0..rounds).map(|_| make()).collect();
        asked.map(|asked| questions.push((what, asked)))
    };
    add("one pod", &mut || Ok(vec![Matcher::equal("pod", any("pod"))]))?;
    add("metric of one pod", &mut || {
        Ok(vec![name("http_requests_total"), Matcher::equal("pod", any("pod"))])
    })?;
    add("metric of a namespace", &mut || {
        Ok(vec![name("http_requests_total"), Matcher::equal("namespace", any("namespace"))])
    })?;
    add("pods by prefix", &mut || Ok(vec![regex("pod", format!("{}.*", &any("pod")[..7]))?]))?;
    add("pods by part", &mut || {
        let pod = any("pod");
        Ok(vec![regex("pod", format!(".*{}.*", &pod[pod.len() - 4..]))?])
    })?;
    add("metric of pods by pattern", &mut || {
        let pod = any("pod");
        let pattern = format!("app-[0-9]+-.*{}", &pod[pod.len() - 2..]);
        Ok(vec![name("http_requests_total"), regex("pod", pattern)?])
    })?;
    add("metric of all but a namespace", &mut || {
        Ok(vec![name("go_goroutines"), not("namespace", any("namespace"))?])
    })?;
    add("metric with any pod", &mut || Ok(vec![name("up"), not("pod", String::new())?]))?;
    for (what, asked_for) in questions {
        let mut durations = Vec::new();
        let mut found_count = 0;
        for matchers in &asked_for {
            let (found, took) = timer.measure(|| select(asked, matchers));
            found_count += found?.len();
            durations.push(took);
        }
        ensure!(found_count > 0, "{what} finds series");
        print(what, &mut durations, found_count / rounds);
    }
    Ok(())
}

/// Labels of series, and what labels have for values.
fn ask_labels(
    block: &SliceIndex<Vec<u8>>,
    series: &[Labels],
    rounds: usize,
    timer: &Timer,
) -> anyhow::Result<()> {
    let mut numbers = Numbers(4);
    let mut any_pod = || loop {
        let nr = numbers.below(u32::try_from(series.len()).unwrap_or(u32::MAX));
        if let Some(pod) = series[nr as usize].get("pod") {
            return pod.to_owned();
        }
    };
    let name = |name: &str| Matcher::equal("__name__", name);
    let mut durations = Vec::new();
    let mut found_count = 0;
    for _ in 0..rounds {
        let matchers = [Matcher::equal("pod", any_pod())];
        let (found, took) =
            timer.measure(|| select(block, &matchers).and_then(|found| block.labels(&found)));
        found_count += found?.len();
        durations.push(took);
    }
    print("labels of one pod's series", &mut durations, found_count / rounds);
    for (what, label, matchers) in [
        ("values of pod", "pod", vec![]),
        ("values of pod, one namespace", "pod", vec![Matcher::equal("namespace", "team-3")]),
        ("values of pod, one metric", "pod", vec![name("go_goroutines")]),
        ("metric names of a job", "__name__", vec![Matcher::equal("job", "kubelet")]),
    ] {
        let mut durations = Vec::new();
        let mut count = 0;
        for _ in 0..rounds {
            let (values, took) = timer.measure(|| match &matchers[..] {
                [] => block.values(label),
                matchers => {
                    select(block, matchers).and_then(|found| block.values_of(&found, label))
                }
            });
            count = values?.len();
            durations.push(took);
        }
        print(what, &mut durations, count);
    }
    Ok(())
}

fn print(what: &str, durations: &mut [std::time::Duration], count: usize) {
    let (median, worst) = (quantile(durations, 0.5), quantile(durations, 0.99));
    println!("  {what}: p50 {median:.1?}, p99 {worst:.1?}, {count} found");
}
