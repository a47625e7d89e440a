//! `top`: what pods or nodes use now, from the collected metrics.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::CliError;
use crate::args::{TopArgs, TopKind};
use crate::http_api::get;
use crate::output::Output;

/// Runs `top`.
pub(crate) async fn run(args: &TopArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    match args.what {
        TopKind::Pods => pods(args, out).await,
        TopKind::Nodes => nodes(args, out).await,
    }
}

async fn pods(args: &TopArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let selector = match &args.namespace {
        Some(namespace) => format!("{{container!=\"\",namespace={namespace:?}}}"),
        None => "{container!=\"\"}".to_owned(),
    };
    let by = "sum by (namespace, pod)";
    let cpu = vector(
        args,
        &format!("{by} (rate(container_cpu_usage_seconds_total{selector}[10s]))"),
        &["namespace", "pod"],
    )
    .await?;
    let memory = vector(
        args,
        &format!("{by} (container_memory_working_set_bytes{selector})"),
        &["namespace", "pod"],
    )
    .await?;
    let mut rows: Vec<(f64, Vec<String>)> = memory
        .iter()
        .map(|(key, bytes)| {
            let used = cpu.get(key).copied();
            let row = vec![key[0].clone(), key[1].clone(), cores(used), mebibytes(Some(*bytes))];
            (used.unwrap_or(0.0), row)
        })
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
    if rows.is_empty() {
        eprintln!("no container has been measured yet");
        return Ok(());
    }
    out.table(&["NAMESPACE", "POD", "CPU", "MEMORY"], &rows)
}

async fn nodes(args: &TopArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let query = |text: &'static str| vector(args, text, &["instance"]);
    let cpu = query("sum by (instance) (rate(node_cpu_seconds_total{mode!~\"idle|iowait\"}[10s]))")
        .await?;
    let count = query("count by (instance) (node_cpu_seconds_total{mode=\"idle\"})").await?;
    let used = query("node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes").await?;
    let total = query("node_memory_MemTotal_bytes").await?;
    let rows: Vec<Vec<String>> = total
        .iter()
        .map(|(key, bytes)| {
            let share = |part: Option<&f64>, whole: Option<&f64>| match (part, whole) {
                (Some(part), Some(whole)) if *whole > 0.0 => {
                    format!("{:.0} %", part / whole * 100.0)
                }
                _ => "unknown".to_owned(),
            };
            vec![
                key[0].clone(),
                cores(cpu.get(key).copied()),
                share(cpu.get(key), count.get(key)),
                mebibytes(used.get(key).copied()),
                share(used.get(key), Some(bytes)),
            ]
        })
        .collect();
    if rows.is_empty() {
        eprintln!("no node has been measured yet");
        return Ok(());
    }
    out.table(&["NODE", "CPU", "CPU %", "MEMORY", "MEMORY %"], &rows)
}

async fn vector(
    args: &TopArgs,
    query: &str,
    labels: &[&str],
) -> Result<BTreeMap<Vec<String>, f64>, CliError> {
    let answer = get(&args.http, "/api/v1/query", &[("query", query)]).await?;
    let samples = answer["data"]["result"].as_array().into_iter().flatten();
    Ok(samples
        .filter_map(|sample: &Value| {
            let key = labels
                .iter()
                .map(|label| sample["metric"][label].as_str().unwrap_or_default().to_owned())
                .collect();
            Some((key, sample["value"][1].as_str()?.parse().ok()?))
        })
        .collect())
}

/// Cores in thousandths; a missing value is unknown and not zero.
fn cores(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |cores| format!("{:.0}m", cores * 1000.0))
}

fn mebibytes(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.0}Mi", bytes / 1_048_576.0))
}
