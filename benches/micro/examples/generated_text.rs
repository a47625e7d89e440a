//! Prints generated samples as OpenMetrics text, series by series, for other databases to import:
//! `cargo run --release -p swell-bench-micro --example generated_text -- [SERIES [HOURS [SEED]]] >FILE`.

use std::io::{BufWriter, Write as _};

use swell_bench_gen::{Cluster, Scale};

const HOUR_MS: i64 = 3_600_000;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u32| args.next().map_or(Ok(default), |arg| arg.parse());
    let (series_count, hours, seed) = (number(10_000)?, number(24)?, number(1)?);
    let scale = Scale {
        series_count: usize::try_from(series_count)?,
        seed: u64::from(seed),
        ..Scale::standard()
    };
    let rows = i64::from(hours) * HOUR_MS / scale.step_ms;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for mut target in Cluster::new(scale).targets {
        let names: Vec<String> = target
            .labels
            .iter()
            .map(|labels| {
                let pairs: Vec<String> = labels
                    .iter()
                    .filter(|(name, _)| *name != swell_model::METRIC_NAME)
                    .map(|(name, value)| format!("{name}={value:?}"))
                    .collect();
                format!("{}{{{}}}", labels.metric_name().unwrap_or_default(), pairs.join(","))
            })
            .collect();
        for _ in 0..rows {
            let (at_ms, values) = target.scrape();
            for (name, value) in names.iter().zip(values) {
                writeln!(out, "{name} {value} {}.{:03}", at_ms / 1000, at_ms % 1000)?;
            }
        }
    }
    writeln!(out, "# EOF")?;
    out.flush()?;
    Ok(())
}
