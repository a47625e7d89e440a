//! Requests out of files onto connections.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use swell_env::{Clock as _, Monotonic, SystemClock};

use crate::SendArgs;

/// A connection may be so many rows ahead of the slowest: senders of one cluster are about as far, and Prometheus
/// refuses what is more than an hour behind.
const ROWS_AHEAD_MAX: usize = 20;
/// A server that does not answer for so long does not.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);
/// A refusal's text is kept up to here.
const TEXT_BYTES_MAX: usize = 400;

/// Which row each connection is at; `usize::MAX` when it is done.
#[derive(Debug)]
struct Pace {
    rows: Mutex<Vec<usize>>,
    moved: Condvar,
}

impl Pace {
    /// Waits until the row may be sent.
    fn reach(&self, connection: usize, row: usize) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows[connection] != row {
            rows[connection] = row;
            self.moved.notify_all();
        }
        let may_not = |rows: &mut Vec<usize>| {
            rows.iter().any(|other| row > other.saturating_add(ROWS_AHEAD_MAX))
        };
        drop(self.moved.wait_while(rows, may_not));
    }
}

/// Says that a connection is done, however it ends.
struct Done<'p>(&'p Pace, usize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.reach(self.1, usize::MAX);
    }
}

#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    acknowledged_samples: u64,
    /// Requests that were answered otherwise, by status.
    refused: BTreeMap<u16, u64>,
    first_refusal: String,
    /// The connection broke, or time was up, before everything was sent.
    is_cut: bool,
}

/// Pushes everything; prints what was acknowledged.
pub(crate) fn run(args: &SendArgs) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let began = clock.monotonic();
    let deadline = args.seconds_max.map(|seconds| began.after(Duration::from_secs_f64(seconds)));
    let mut files = Vec::new();
    while let Ok(file) = File::open(args.from.join(format!("{}.requests", files.len()))) {
        files.push(file);
    }
    ensure!(!files.is_empty(), "there are no requests in {}: make them first", args.from.display());
    let pace = Pace { rows: Mutex::new(vec![0; files.len()]), moved: Condvar::new() };
    let tallies: Vec<anyhow::Result<Tally>> = std::thread::scope(|scope| {
        let (pace, clock) = (&pace, &clock);
        let senders: Vec<_> = files
            .into_iter()
            .enumerate()
            .map(|(nr, file)| {
                scope.spawn(move || {
                    let _done = Done(pace, nr);
                    push(args, file, deadline, clock, |row| pace.reach(nr, row))
                        .with_context(|| format!("connection {nr} from {}", shown(&args.from)))
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("senders do not panic")).collect()
    });
    let mut all = Tally::default();
    for tally in tallies {
        let tally = tally?;
        all.requests += tally.requests;
        all.acknowledged_samples += tally.acknowledged_samples;
        all.is_cut |= tally.is_cut;
        for (status, count) in tally.refused {
            *all.refused.entry(status).or_default() += count;
        }
        if all.first_refusal.is_empty() {
            all.first_refusal = tally.first_refusal;
        }
    }
    let refused: BTreeMap<String, u64> =
        all.refused.into_iter().map(|(status, count)| (status.to_string(), count)).collect();
    let summary = serde_json::json!({
        "requests": all.requests, "acknowledged_samples": all.acknowledged_samples, "refused": refused,
        "first_refusal": all.first_refusal, "is_cut": all.is_cut,
        "seconds": clock.monotonic().since(began).as_secs_f64(),
    });
    println!("{summary}");
    Ok(())
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

fn push(
    args: &SendArgs,
    file: File,
    deadline: Option<Monotonic>,
    clock: &SystemClock,
    reach: impl Fn(usize),
) -> anyhow::Result<Tally> {
    let mut requests = BufReader::with_capacity(1 << 20, file);
    let stream = TcpStream::connect(&args.to).with_context(|| format!("connect to {}", args.to))?;
    stream.set_nodelay(true).context("switch off Nagle's algorithm")?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE)).context("set a deadline")?;
    let mut writer = stream.try_clone().context("share the connection")?;
    let mut reader = BufReader::new(stream);
    let mut tally = Tally::default();
    let mut body = Vec::new();
    while let Some((row, samples)) = next(&mut requests, &mut body)? {
        reach(row);
        if deadline.is_some_and(|deadline| clock.monotonic() >= deadline) {
            tally.is_cut = true;
            break;
        }
        tally.requests += 1;
        match exchange(args, &mut writer, &mut reader, &body) {
            Ok((200..=299, _)) => tally.acknowledged_samples += u64::from(samples),
            Ok((status, text)) => {
                *tally.refused.entry(status).or_default() += 1;
                if tally.first_refusal.is_empty() {
                    tally.first_refusal = text;
                }
            }
            // Whoever kills the server wants to know what it had promised.
            Err(_) if deadline.is_some() || tally.acknowledged_samples > 0 => {
                tally.is_cut = true;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tally)
}

/// The next request: its row and number of samples.
fn next(
    requests: &mut BufReader<File>,
    body: &mut Vec<u8>,
) -> anyhow::Result<Option<(usize, u32)>> {
    if requests.fill_buf().context("read requests")?.is_empty() {
        return Ok(None);
    }
    let mut figures = [0; 3];
    for figure in &mut figures {
        let mut bytes = [0; 4];
        requests.read_exact(&mut bytes).context("read requests: cut short")?;
        *figure = u32::from_le_bytes(bytes);
    }
    let [row, samples, len] = figures;
    body.resize(len as usize, 0);
    requests.read_exact(body).context("read requests: cut short")?;
    Ok(Some((row as usize, samples)))
}

/// Sends one request and reads its answer: status and, of a refusal, the text.
fn exchange(
    args: &SendArgs,
    writer: &mut TcpStream,
    reader: &mut BufReader<TcpStream>,
    body: &[u8],
) -> anyhow::Result<(u16, String)> {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
         X-Prometheus-Remote-Write-Version: 0.1.0\r\nUser-Agent: swell-push\r\nContent-Length: {}\r\n\r\n",
        args.path,
        args.to,
        body.len()
    );
    writer.write_all(head.as_bytes()).context("send")?;
    writer.write_all(body).context("send")?;
    let mut line = String::new();
    reader.read_line(&mut line).context("read the answer")?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.with_context(|| format!("no status in the answer {line:?}"))?;
    let mut len = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).context("read the answer")?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            len = value.trim().parse().context("read the answer's length")?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("the answer comes in chunks, which is not read here");
        }
    }
    let mut text = vec![0; len];
    reader.read_exact(&mut text).context("read the answer")?;
    text.truncate(TEXT_BYTES_MAX);
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}
