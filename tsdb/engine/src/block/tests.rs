//! What is written is read back, in any order and any part, whatever refers to what.

use std::sync::Arc;

use proptest::prelude::*;
use swell_chunk::FloatReader;
use swell_env::{Clock as _, Dir as _, ManualClock, MemDir};
use swell_model::{DurationMs, FloatColumn, Labels, SeriesData, TimestampMs, stale_nan};

use super::{Block, BlockId, BlockMeta, BlockWriter, CHUNK_LEN, FOLDER, FrameCache, Packing};

fn series(pairs: &[(&str, &str)], times: &Arc<[i64]>, values: Vec<f64>) -> SeriesData {
    SeriesData {
        labels: Labels::from_pairs(pairs.iter().copied()),
        floats: FloatColumn { timestamps: Arc::clone(times), values: values.into(), starts: None },
        ..SeriesData::default()
    }
}

fn write(dir: &MemDir, packing: Packing, series: &[SeriesData]) -> BlockMeta {
    let window = (TimestampMs(0), TimestampMs(i64::MAX));
    let mut writer =
        BlockWriter::create(dir, BlockId(1), window, DurationMs::ZERO, Vec::new(), packing)
            .expect("creates");
    series.iter().for_each(|series| writer.add(series).expect("adds"));
    writer.finish().expect("finishes").expect("has series")
}

/// Writes the series and reads `windows` of them, in that order: number of a series, first and last part in hundredths.
fn check(packing: Packing, mut all: Vec<SeriesData>, windows: &[(usize, usize, usize)]) -> u64 {
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let dir = MemDir::new();
    dir.create_folder(FOLDER).expect("folder");
    write(&dir, packing, &all);
    let block = Arc::new(Block::open(&dir, BlockId(1)).expect("opens"));
    let loaded = block.load(ManualClock::new(TimestampMs(0)).monotonic()).expect("loads");
    let mut frames = FrameCache::default();
    let mut reader = FloatReader::new();
    let mut read = |idx: usize, from: usize, to: usize, frames: &mut FrameCache| {
        let number = u32::try_from(idx).expect("few");
        let found = loaded.series(&[number]).expect("finds").remove(0);
        let floats = found.floats.expect("has floats");
        let times = loaded.times(floats.times.column, frames).expect("times");
        let times = &times[floats.times.first..floats.times.first + floats.times.len];
        assert_eq!(times, &*all[idx].floats.timestamps);
        let mut out = Vec::new();
        loaded.floats(&floats, (from, to), frames, &mut reader, &mut out).expect("reads");
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&out), bits(&all[idx].floats.values[from..to]), "{}", all[idx].labels);
        floats.reference.is_some()
    };
    for (idx, from, to) in windows {
        let idx = idx % all.len();
        let len = all[idx].floats.values.len();
        let (from, to) = (from * len / 100, to * len / 100);
        if from < to {
            read(idx, from, to, &mut frames);
            read(idx, from, to, &mut FrameCache::default());
        }
    }
    let whole = |idx| read(idx, 0, all[idx].floats.values.len(), &mut frames);
    (0..all.len()).map(whole).filter(|refers| *refers).count() as u64
}

/// Buckets of one histogram, its count, and requests by code.
fn family(pod: &str, times: &Arc<[i64]>, seed: u32) -> Vec<SeriesData> {
    const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];
    let mut numbers = seed;
    let mut next = move |bound: u32| {
        numbers = numbers.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (numbers >> 8) % bound
    };
    let mut columns = vec![Vec::new(); BOUNDS.len() + 2];
    let mut totals = [0.0; BOUNDS.len()];
    let mut failed = 0.0;
    for _ in 0..times.len() {
        let mut sum = 0.0;
        for (idx, total) in totals.iter_mut().enumerate() {
            *total += f64::from(next([40, 90, 30, 9, 4, 2][idx]));
            sum += *total;
            columns[idx].push(sum);
        }
        failed += f64::from(u8::from(next(50) == 0));
        columns[BOUNDS.len()].push(sum);
        columns[BOUNDS.len() + 1].push(sum - failed);
    }
    let names = BOUNDS
        .iter()
        .map(|le| ("seconds_bucket", *le))
        .chain([("seconds_count", ""), ("total", "")]);
    names
        .zip(columns)
        .map(|((name, le), values)| {
            series(&[("__name__", name), ("le", le), ("pod", pod)], times, values)
        })
        .collect()
}

#[test]
fn counters_of_one_target_refer_to_each_other() {
    let times: Arc<[i64]> = (0..3000).map(|i| i * 15_000).collect();
    let other: Arc<[i64]> = (0..3000).map(|i| i * 15_000 + 7).collect();
    let all: Vec<SeriesData> =
        [family("a", &times, 1), family("b", &other, 2)].into_iter().flatten().collect();
    let windows = [(7, 0, 100), (3, 99, 100), (15, 0, 1), (0, 50, 51), (9, 60, 90)];
    for packing in [Packing::Plain, Packing::Compressed] {
        // All but the infinite bucket, which comes first, and the smallest, which is alone with half of the requests.
        assert_eq!(check(packing, all.clone(), &windows), 12);
    }
    let dir = MemDir::new();
    dir.create_folder(FOLDER).expect("folder");
    let mut sorted = all;
    sorted.sort_by(|a, b| a.labels.cmp(&b.labels));
    write(&dir, Packing::Plain, &sorted);
    let len = Block::open(&dir, BlockId(1)).expect("opens").meta.file_bytes;
    assert!(len < 48_000 * 7 / 10, "{len} bytes for 48,000 samples");
}

#[test]
fn more_series_than_a_group_and_more_bytes_than_a_frame() {
    let times: Arc<[i64]> = (0..300).map(|i| i * 1000).collect();
    let all = (0..700u32)
        .map(|nr| {
            let values = (0..300u32).map(|i| f64::from((i * 7919 + nr * 31) % 1009) / 10.0);
            let pod = format!("{nr:04}");
            series(&[("__name__", "gauge"), ("pod", &pod)], &times, values.collect())
        })
        .collect::<Vec<_>>();
    let windows = [(699, 0, 100), (0, 0, 100), (255, 10, 20), (256, 10, 20), (512, 99, 100)];
    check(Packing::Plain, all.clone(), &windows);
    check(Packing::Compressed, all, &windows);
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0i32..1000).prop_map(f64::from),
        4 => Just(1.0),
        2 => (0i32..100_000).prop_map(|v| f64::from(v) / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_series_come_back(
        columns in prop::collection::vec((prop::collection::vec(any_value(), 1..60), 0usize..3, 0usize..20), 1..12),
        repeats in 1usize..120,
        seed in any::<u32>(),
        windows in prop::collection::vec((any::<usize>(), 0usize..100, 1usize..=100), 0..20),
        compresses in any::<bool>(),
    ) {
        let packing = if compresses { Packing::Compressed } else { Packing::Plain };
        let times: Arc<[i64]> = (0..60 * 120).map(|i| i * 1000 + i % 3).collect();
        let mut all = family("f", &times[..repeats * 40].into(), seed);
        for (nr, (values, start, cut)) in columns.iter().enumerate() {
            let values: Vec<f64> = values.iter().copied().cycle().take(values.len() * repeats).collect();
            let values = &values[..values.len() - cut.min(&(values.len() - 1))];
            let stretch: Arc<[i64]> = times[*start..start + values.len()].into();
            let name = format!("m{nr}");
            all.push(series(&[("__name__", &name)], &stretch, values.to_vec()));
        }
        prop_assert!(repeats * 40 <= 3 * CHUNK_LEN);
        check(packing, all, &windows);
    }
}

#[test]
fn chunks_of_many_values_carry_their_figures() {
    let times: Arc<[i64]> = (0..5000).map(|row| row * 15_000).collect();
    let counter = |count: usize| (0..count).map(|row| f64::from(u32::try_from(row).expect("few")));
    let of = |pod: &str, values: Vec<f64>| {
        let times: Arc<[i64]> = times[..values.len()].into();
        series(&[("__name__", "m"), ("pod", pod)], &times, values)
    };
    let all = [
        of("a", counter(5000).map(|x| x / 10.0).collect()),
        of("b", counter(239).collect()),
        of("c", counter(240).collect()),
        of("d", vec![0.5; 3]),
        of("e", counter(300).map(|x| if x == 7.0 { f64::NAN } else { x }).collect()),
    ];
    let dir = MemDir::new();
    dir.create_folder(FOLDER).expect("folder");
    write(&dir, Packing::Plain, &all);
    let block = Arc::new(Block::open(&dir, BlockId(1)).expect("opens"));
    let loaded = block.load(ManualClock::new(TimestampMs(0)).monotonic()).expect("loads");
    let last = |nr: usize, chunk: usize| {
        let found = loaded.series(&[u32::try_from(nr).expect("few")]).expect("finds").remove(0);
        let floats = found.floats.expect("has floats");
        loaded.statistics(&floats, chunk).expect("readable").map(|known| known.last)
    };
    assert_eq!([0, 1, 2].map(|chunk| last(0, chunk)), [Some(204.7), Some(409.5), Some(499.9)]);
    assert_eq!([1, 2, 3, 4].map(|nr| last(nr, 0)), [None, Some(239.0), Some(0.5), None]);
}
