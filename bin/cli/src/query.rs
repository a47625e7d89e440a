//! `query`: PromQL as a table, or drawn.

use std::io::IsTerminal as _;

use serde_json::Value;
use swell_model::DurationMs;

mod arrow;

use crate::CliError;
use crate::args::{QueryArgs, QueryFormat};
use crate::http_api::get;
use crate::output::Output;
use crate::plot::{Series, plot};

/// Columns of a plot where the terminal does not tell.
const PLOT_WIDTH: usize = 100;

/// Runs `query`.
pub(crate) async fn run(args: &QueryArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    if args.output == QueryFormat::Arrow {
        return arrow::run(args, out).await;
    }
    if args.file.is_some() {
        return Err(CliError::Usage("--file is for --output arrow".to_owned()));
    }
    let answer = match &args.range {
        None => instant(args).await?,
        Some(range) => {
            let span = duration(range)?;
            let step = match &args.step {
                Some(step) => duration(step)?,
                None => DurationMs((span.0 / i64::try_from(PLOT_WIDTH).expect("small")).max(1000)),
            };
            range_query(args, span, step).await?
        }
    };
    if args.output == QueryFormat::Json {
        return out.json(&answer);
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        eprintln!("warning: {}", warning.as_str().unwrap_or_default());
    }
    let data = &answer["data"];
    match data["resultType"].as_str() {
        Some("matrix") => {
            let series =
                data["result"].as_array().into_iter().flatten().map(matrix_series).collect();
            let unicode = !std::io::stdout().is_terminal() || is_utf8();
            for line in plot(series, PLOT_WIDTH, unicode) {
                out.line(&line)?;
            }
            Ok(())
        }
        Some("vector") => {
            let mut rows: Vec<Vec<String>> = data["result"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|sample| vec![labels(&sample["metric"]), value(sample)])
                .collect();
            rows.sort();
            if rows.is_empty() {
                eprintln!("no series matches now");
                return Ok(());
            }
            out.table(&["SERIES", "VALUE"], &rows)
        }
        _ => out.line(data["result"][1].as_str().unwrap_or_default()),
    }
}

async fn instant(args: &QueryArgs) -> Result<Value, CliError> {
    let mut params = vec![("query", args.expression.as_str())];
    if let Some(time) = &args.time {
        params.push(("time", time));
    }
    get(&args.http, "/api/v1/query", &params).await
}

/// The server's clock decides what "now" is: it is asked for it first.
async fn range_query(
    args: &QueryArgs,
    span: DurationMs,
    step: DurationMs,
) -> Result<Value, CliError> {
    let end = server_time(args).await?;
    let start = end - span.as_seconds();
    let (start, end, step) = (start.to_string(), end.to_string(), step.as_seconds().to_string());
    let params = [
        ("query", args.expression.as_str()),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("step", step.as_str()),
    ];
    get(&args.http, "/api/v1/query_range", &params).await
}

/// Seconds since the epoch.
async fn server_time(args: &QueryArgs) -> Result<f64, CliError> {
    let now = get(&args.http, "/api/v1/query", &[("query", "time()")]).await?;
    now["data"]["result"][1]
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| CliError::Usage("the server did not tell the time".to_owned()))
}

fn duration(text: &str) -> Result<DurationMs, CliError> {
    match DurationMs::parse_prometheus(text) {
        Ok(span) if span.0 > 0 => Ok(span),
        Ok(_) => Err(CliError::Usage(format!("{text:?}: the span must be longer than nothing"))),
        Err(error) => Err(CliError::Usage(error.to_string())),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the terminal's character set is an environment fact"
)]
fn is_utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .is_some_and(|value| value.to_ascii_uppercase().contains("UTF"))
}

fn labels(metric: &Value) -> String {
    let pairs = metric.as_object().into_iter().flatten();
    swell_model::Labels::from_pairs(
        pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())),
    )
    .to_string()
}

fn value(sample: &Value) -> String {
    match sample["value"][1].as_str() {
        Some(text) => text.to_owned(),
        None => {
            let histogram = &sample["histogram"][1];
            let part = |name: &str| histogram[name].as_str().unwrap_or_default().to_owned();
            format!("histogram count={} sum={}", part("count"), part("sum"))
        }
    }
}

fn matrix_series(series: &Value) -> Series {
    let points = series["values"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|point| Some((point[0].as_f64()?, point[1].as_str()?.parse().ok()?)))
        .collect();
    Series { name: labels(&series["metric"]), points }
}
