//! Column codecs: `cargo bench -p swell-bench-micro --bench chunk`. Items are samples; the sizes are printed first.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use swell_bench_gen::Numbers;
use swell_bench_micro::node::Host;
use swell_chunk::{Cursor, FloatReader, FloatWriter, Tail, TailColumn, read_times, write_times};

/// Two hours at 15 s.
const ROWS: usize = 480;
const SERIES: usize = 500;

fn main() {
    let host = host();
    for (name, columns) in
        [("all series", &host.series), ("varying series", &varying(&host)), ("noise", &noise())]
    {
        let bytes: usize = encode(columns).iter().map(Vec::len).sum();
        let samples = columns.len() * ROWS;
        println!("{name}: {} bytes per sample", ratio(bytes, samples));
    }
    let mut times = Vec::new();
    write_times(&host.timestamps, &mut times);
    println!(
        "times, shared by {SERIES} series: {} bytes per sample",
        ratio(times.len(), ROWS * SERIES)
    );
    divan::main();
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ratio(bytes: usize, samples: usize) -> f64 {
    (bytes as f64 / samples as f64 * 1e4).round() / 1e4
}

fn host() -> Host {
    Host::new(1, SERIES, ROWS, 15_000)
}

fn varying(host: &Host) -> Vec<Vec<f64>> {
    let varies = |values: &&Vec<f64>| values.iter().any(|value| *value != values[0]);
    host.series.iter().filter(varies).cloned().collect()
}

/// Nothing to compress: random digits of full length.
fn noise() -> Vec<Vec<f64>> {
    let mut numbers = Numbers(2);
    let value = |numbers: &mut Numbers| f64::from_bits(numbers.next_u64() >> 12 | 0x3ff0 << 48);
    (0..50).map(|_| (0..ROWS).map(|_| value(&mut numbers)).collect()).collect()
}

fn columns(kind: &str) -> Vec<Vec<f64>> {
    match kind {
        "all" => host().series,
        "varying" => varying(&host()),
        _ => noise(),
    }
}

fn encode(columns: &[Vec<f64>]) -> Vec<Vec<u8>> {
    columns
        .iter()
        .map(|values| {
            let mut bytes = Vec::new();
            FloatWriter::new(values).write_whole(&mut bytes);
            bytes
        })
        .collect()
}

#[divan::bench(args = ["all", "varying", "noise"])]
fn write(bencher: Bencher<'_, '_>, kind: &str) {
    let columns = columns(kind);
    bencher
        .counter(ItemsCount::new(columns.len() * ROWS))
        .bench_local(|| encode(black_box(&columns)));
}

#[divan::bench(args = ["all", "varying", "noise"])]
fn read(bencher: Bencher<'_, '_>, kind: &str) {
    let encoded = encode(&columns(kind));
    let mut reader = FloatReader::new();
    let mut out = vec![0.0; ROWS];
    bencher.counter(ItemsCount::new(encoded.len() * ROWS)).bench_local(|| {
        for bytes in &encoded {
            reader.read_whole(&mut Cursor::new(bytes), &mut out).expect("what was written is read");
            black_box(&out);
        }
    });
}

#[divan::bench]
fn read_shared_times(bencher: Bencher<'_, '_>) {
    let mut bytes = Vec::new();
    write_times(&host().timestamps, &mut bytes);
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench_local(|| read_times(black_box(&bytes), ROWS).expect("what was written is read"));
}

#[divan::bench(args = ["all", "varying"])]
fn append_to_tails(bencher: Bencher<'_, '_>, kind: &str) {
    let columns = columns(kind);
    bencher.counter(ItemsCount::new(columns.len() * 256)).bench_local(|| {
        let mut tails = vec![Tail::default(); columns.len()];
        for row in 0..256u16 {
            for (tail, values) in tails.iter_mut().zip(&columns) {
                tail.push(u32::from(row), values[usize::from(row)]);
            }
        }
        tails
    });
}

#[divan::bench]
fn read_tails(bencher: Bencher<'_, '_>) {
    let columns = columns("all");
    let tokens: Vec<Vec<u8>> = columns
        .iter()
        .map(|values| {
            let mut tail = Tail::default();
            (0u32..256).zip(values).for_each(|(row, value)| tail.push(row, *value));
            let mut tokens = Vec::new();
            tail.copy_tokens(&mut tokens);
            tokens
        })
        .collect();
    let mut column = TailColumn::default();
    bencher.counter(ItemsCount::new(columns.len() * 256)).bench_local(|| {
        for tokens in &tokens {
            column.read(tokens, 256).expect("what was written is read");
            black_box(&column);
        }
    });
}
