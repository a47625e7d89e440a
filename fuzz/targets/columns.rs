//! Any bytes as columns of a block: values or an error, bounded memory; and what is written is read back bit by bit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_chunk::{
    Cursor, FloatCursors, FloatHead, FloatParts, FloatReader, FloatWriter, TIMES_MAX, TailColumn,
    read_histograms, read_times, write_times,
};

fn cursors(parts: &FloatParts) -> FloatCursors<'_> {
    FloatCursors {
        kinds: Cursor::new(&parts.kinds),
        numbers: Cursor::new(&parts.numbers),
        body: Cursor::new(&parts.body),
        exceptions: Cursor::new(&parts.exceptions),
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let (count, rest) = match bytes {
        [low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        _ => return,
    };
    drop(read_times(rest, count.min(TIMES_MAX)));
    drop(read_histograms(rest, count));
    let mut out = vec![0.0; count.min(4096)];
    // An error is an answer too.
    FloatReader::new().read_whole(&mut Cursor::new(rest), &mut out).unwrap_or(());
    let (kinds, behind) = rest.split_at(rest.len().min(4));
    let (numbers, behind) = behind.split_at(behind.len().min(24));
    let (exceptions, body) = behind.split_at(behind.len().min(12));
    let parts = FloatParts {
        kinds: kinds.to_vec(),
        numbers: numbers.to_vec(),
        body: body.to_vec(),
        exceptions: exceptions.to_vec(),
    };
    let reference = vec![i64::MIN; out.len()];
    let mut reader = FloatReader::new();
    reader.read(&mut cursors(&parts), Some(&reference), &mut out).unwrap_or(());
    if !out.is_empty() {
        reader.read_mantissas(&mut cursors(&parts), Some(&reference), out.len()).unwrap_or(());
    }
    let mut kinds_left = Cursor::new(kinds);
    if FloatHead::skip(&mut kinds_left, &mut Cursor::new(numbers), out.len()).is_ok() {
        assert!(out.is_empty() || kinds_left.offset() > 0);
    }
    let mut tail = TailColumn::default();
    if tail.read(rest, u32::try_from(out.len()).expect("small")).is_ok() {
        assert!(tail.values.len() <= out.len());
    }

    let values: Vec<f64> =
        rest.chunks_exact(8).map(|word| f64::from_le_bytes(word.try_into().expect("eight"))).collect();
    if !values.is_empty() {
        let other: Vec<f64> = values.iter().map(|value| value.trunc()).collect();
        let other = FloatWriter::new(&other);
        let reference = other.mantissas().map(<[i64]>::to_vec);
        let mut writer = FloatWriter::new(&values);
        if let Some(reference) = &reference {
            writer.refer_to(reference);
        }
        let mut parts = FloatParts::default();
        writer.write(&mut parts);
        let mut back = vec![0.0; values.len()];
        FloatReader::new()
            .read(&mut cursors(&parts), reference.as_deref(), &mut back)
            .expect("just written");
        assert_eq!(bits(&values), bits(&back));
        let mut whole = Vec::new();
        FloatWriter::new(&values).write_whole(&mut whole);
        FloatReader::new().read_whole(&mut Cursor::new(&whole), &mut back).expect("just written");
        assert_eq!(bits(&values), bits(&back));
    }

    let mut times: Vec<i64> =
        rest.chunks_exact(4).map(|word| i64::from(i32::from_le_bytes(word.try_into().expect("four")))).collect();
    times.sort_unstable();
    times.dedup();
    if !times.is_empty() {
        let mut out = Vec::new();
        write_times(&times, &mut out);
        assert_eq!(read_times(&out, times.len()).expect("just written"), times);
    }
});
