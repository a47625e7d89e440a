//! Any bytes as a request of both versions: everything in it is read or refused, what is read keeps the rules, and
//! bodies unpack within their limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_wire::remote_write::{Item, Message, Part, items, read_symbols};

fuzz_target!(|bytes: &[u8]| {
    for message in [Message::V1, Message::V2] {
        let mut symbols = Vec::new();
        // Refused as a whole, and still every part must be readable without a panic.
        let _symbols_are_whole = read_symbols(bytes, &mut symbols).is_ok();
        for item in items(bytes, message) {
            let Ok(Item::Series(series)) = item else { continue };
            let again = swell_wire::remote_write::SeriesMessage::at(bytes, series.range(), message);
            assert_eq!(again.bytes(), series.bytes());
            let Ok(labels_len) = series.labels_len() else { continue };
            let mut refs = Vec::new();
            if message == Message::V2 && series.leading_label_refs(&mut refs).is_err() {
                continue;
            }
            for part in series.parts(labels_len) {
                match part {
                    Ok(Part::Histogram(histogram)) => {
                        if let Ok(histogram) = histogram.read() {
                            let value = histogram.value;
                            assert!(value.schema == -53 || (-4..=8).contains(&value.schema));
                            for (spans, buckets) in [
                                (&value.positive_spans, &value.positive_buckets),
                                (&value.negative_spans, &value.negative_buckets),
                            ] {
                                let named: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
                                assert_eq!(named, buckets.len() as u64);
                            }
                        }
                    }
                    Ok(Part::Exemplar(exemplar)) => {
                        let mut pairs = 0;
                        if exemplar.each_label(|_, _| pairs += 1).is_ok() {
                            assert!(pairs <= bytes.len());
                        }
                    }
                    Ok(_) => {}
                    Err(error) => assert!(error.offset <= bytes.len()),
                }
            }
        }
    }
});
