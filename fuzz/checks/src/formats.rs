//! Columns and indices, which blocks and checkpoints are made of.

use swell_chunk::{
    Cursor, FloatCursors, FloatHead, FloatParts, FloatReader, FloatWriter, TIMES_MAX, TailColumn,
    read_histograms, read_times, write_times,
};
use swell_index::{LabelIndex as _, SliceIndex, select, write_index};
use swell_model::{Labels, MatchOp, Matcher};

/// Any bytes as columns of a block: values or an error, bounded memory; and what is written is read back bit by bit.
pub(crate) fn columns(bytes: &[u8]) -> bool {
    let (count, rest) = match bytes {
        [low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        _ => return false,
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

    let values: Vec<f64> = rest
        .chunks_exact(8)
        .map(|word| f64::from_le_bytes(word.try_into().expect("eight")))
        .collect();
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

    let mut times: Vec<i64> = rest
        .chunks_exact(4)
        .map(|word| i64::from(i32::from_le_bytes(word.try_into().expect("four"))))
        .collect();
    times.sort_unstable();
    times.dedup();
    if !times.is_empty() {
        let mut out = Vec::new();
        write_times(&times, &mut out);
        assert_eq!(read_times(&out, times.len()).expect("just written"), times);
    }
    // What is decoded is made up, what is written is taken.
    true
}

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

/// Any bytes as the label index of a block: answers within its bounds or an error; and what is written answers as a scan.
pub(crate) fn index(bytes: &[u8]) -> bool {
    let (chosen, rest) = bytes.split_at(bytes.len().min(2));
    let matchers = matchers(chosen);
    if let Ok(index) = SliceIndex::new(rest) {
        if let Ok(found) = select(&index, &matchers) {
            assert!(found.iter().all(|idx| *idx < index.series_count()));
            if let Ok(labels) = index.labels(&found) {
                assert_eq!(labels.len(), found.len());
            }
            drop(index.values_of(&found, "n"));
            drop(index.names_of(&found));
        }
        drop((index.values_with_counts("n"), index.names_with_counts(), index.with_label("m")));
    }
    // Two letters a label: name and value.
    let mut series: Vec<Labels> = rest
        .chunks(6)
        .map(|text| {
            Labels::from_pairs(text.chunks_exact(2).map(|pair| {
                let name = ["n", "m", "o"][usize::from(pair[0]) % 3];
                (name, char::from(b'a' + pair[1] % 4).to_string())
            }))
        })
        .collect();
    series.sort();
    series.dedup();
    let mut written = Vec::new();
    write_index(&series, &mut written);
    let index = SliceIndex::new(written).expect("just written");
    let satisfies = |labels: &&Labels| {
        matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or_default()))
    };
    let found = select(&index, &matchers).expect("just written");
    let labels = index.labels(&found).expect("just written");
    assert!(labels.iter().eq(series.iter().filter(satisfies)));
    true
}

fn matchers(bytes: &[u8]) -> Vec<Matcher> {
    const PATTERNS: [&str; 6] = ["a", "", "a.*", ".+", ".*b", "[a-c]+|x"];
    const OPS: [MatchOp; 4] =
        [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    bytes
        .iter()
        .map(|byte| {
            let byte = usize::from(*byte);
            let name = ["n", "m", "o"][byte % 3];
            Matcher::new(name, OPS[byte / 3 % 4], PATTERNS[byte / 12 % 6]).expect("valid patterns")
        })
        .collect()
}
