//! Requests into files.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, ensure};
use snap::raw::Encoder;
use swell_bench_gen::{Cluster, Scale, Target};
use swell_wire::remote_write::{encode_labels, put_series};

use crate::MakeArgs;

/// A target with its labels as bytes.
struct Pushed {
    target: Target,
    labels: Vec<Box<[u8]>>,
    /// What takes its place, and with which row.
    heir: Option<(usize, Target)>,
}

impl Pushed {
    fn new(target: Target, heir: Option<(usize, Target)>) -> Self {
        let labels = target.labels.iter().map(encode_labels).collect();
        Self { target, labels, heir }
    }

    fn replace_when_due(&mut self, row: usize) {
        if let Some((_, heir)) = self.heir.take_if(|(due, _)| *due == row) {
            *self = Self::new(heir, None);
        }
    }
}

/// One connection.
struct Channel {
    targets: Vec<Pushed>,
    requests: Requests,
}

/// A connection's requests; the last one is open.
struct Requests {
    file: BufWriter<File>,
    request: Vec<u8>,
    sample_count: usize,
}

/// Makes all requests.
///
/// A file holds, for each request: its row and its number of samples, length of the body (four bytes each), body.
pub(crate) fn run(args: &MakeArgs) -> anyhow::Result<()> {
    ensure!(
        args.connections > 0 && args.request_samples > 0,
        "connections and samples: at least 1"
    );
    fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let mut channels = channels(args)?;
    let mut encoder = Encoder::new();
    let mut samples = 0_u64;
    let mut bytes = 0_u64;
    for row in 0..args.rows {
        for Channel { targets, requests } in &mut channels {
            for pushed in targets {
                pushed.replace_when_due(row);
                let Pushed { target, labels, .. } = pushed;
                let (at_ms, values) = target.scrape();
                for (labels, value) in labels.iter().zip(values) {
                    put_series(labels, &[(at_ms, *value)], &mut requests.request);
                    requests.sample_count += 1;
                    samples += 1;
                    if requests.sample_count == args.request_samples {
                        bytes += flush(row, &mut encoder, requests)?;
                    }
                }
            }
            bytes += flush(row, &mut encoder, requests)?;
        }
    }
    for channel in &mut channels {
        channel.requests.file.flush().context("write requests")?;
    }
    let series = channels.iter().flat_map(|channel| &channel.targets).map(|it| it.labels.len());
    let summary = serde_json::json!({
        "samples": samples, "series": series.sum::<usize>(), "bytes": bytes, "rows": args.rows,
        "start_ms": args.start_ms, "step_ms": args.step_ms, "connections": args.connections,
    });
    println!("{summary}");
    Ok(())
}

fn channels(args: &MakeArgs) -> anyhow::Result<Vec<Channel>> {
    let scale = Scale {
        seed: args.seed,
        series_count: args.series,
        start_ms: args.start_ms,
        step_ms: args.step_ms,
        jitter_ms: 0,
    };
    let cluster = Cluster::new(scale);
    let target_count = cluster.targets.len();
    // Pods of the same places with other names take over one after the other.
    let mut heirs: Vec<Option<(usize, Target)>> = Vec::new();
    if args.churn_per_hour > 0.0 {
        let others = Cluster::new(Scale { seed: args.seed + 1, ..scale });
        for (idx, mut target) in others.targets.into_iter().enumerate() {
            // A stride that has no divisor in common with the count spreads the replaced ones over all hosts.
            let turn = idx.wrapping_mul(7919) % target_count;
            let due = 1 + row_of_turn(turn, target_count, args);
            heirs.push((due < args.rows).then(|| {
                for _ in 0..due {
                    target.scrape();
                }
                (due, target)
            }));
        }
    }
    heirs.resize_with(target_count, || None);
    let mut channels = Vec::new();
    for nr in 0..args.connections {
        let path = args.out.join(format!("{nr}.requests"));
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let requests = Requests { file, request: Vec::new(), sample_count: 0 };
        channels.push(Channel { targets: Vec::new(), requests });
    }
    let count = channels.len();
    for (idx, (target, heir)) in cluster.targets.into_iter().zip(heirs).enumerate() {
        channels[idx * count / target_count].targets.push(Pushed::new(target, heir));
    }
    Ok(channels)
}

/// With which row the place that is the `turn`-th to be replaced gets its heir.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^53, and a row that is never reached may be any"
)]
fn row_of_turn(turn: usize, target_count: usize, args: &MakeArgs) -> usize {
    let rows_per_hour = 3_600_000.0 / args.step_ms as f64;
    let replaced_per_row = args.churn_per_hour * target_count as f64 / rows_per_hour;
    (turn as f64 / replaced_per_row) as usize
}

/// Ends the request, if there is one; gives its bytes.
fn flush(row: usize, encoder: &mut Encoder, requests: &mut Requests) -> anyhow::Result<u64> {
    if requests.sample_count == 0 {
        return Ok(0);
    }
    let body = encoder.compress_vec(&requests.request).context("pack a request")?;
    for figure in [row, requests.sample_count, body.len()] {
        let figure = u32::try_from(figure).context("a request is below 4 GiB")?;
        requests.file.write_all(&figure.to_le_bytes()).context("write requests")?;
    }
    requests.file.write_all(&body).context("write requests")?;
    requests.request.clear();
    requests.sample_count = 0;
    Ok(body.len() as u64)
}
