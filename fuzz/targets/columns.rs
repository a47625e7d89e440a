//! Any bytes as columns of a block: values or an error, bounded memory; and what is written is read back bit by bit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_chunk::{
    Cursor, FloatReader, FloatWriter, TIMES_MAX, read_histograms, read_times, write_times,
};

fuzz_target!(|bytes: &[u8]| {
    let (count, rest) = match bytes {
        [low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        _ => return,
    };
    drop(read_times(rest, count.min(TIMES_MAX)));
    drop(read_histograms(rest, count));
    let mut out = vec![0.0; count.min(4096)];
    let (head, body) = rest.split_at(rest.len().min(32));
    // An error is an answer too.
    FloatReader::new().read(&mut Cursor::new(head), &mut Cursor::new(body), &mut out).unwrap_or(());

    let values: Vec<f64> =
        rest.chunks_exact(8).map(|word| f64::from_le_bytes(word.try_into().expect("eight"))).collect();
    if !values.is_empty() {
        let writer = FloatWriter::new(&values);
        let (mut head, mut body) = (Vec::new(), Vec::new());
        writer.write(&mut head, &mut body);
        let mut back = vec![0.0; values.len()];
        FloatReader::new()
            .read(&mut Cursor::new(&head), &mut Cursor::new(&body), &mut back)
            .expect("just written");
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
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
