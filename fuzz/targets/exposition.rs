//! Any bytes: every line is answered, and series of good samples can be taken apart or say why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_exposition::{Entry, Format, Parser};

fuzz_target!(|bytes: &[u8]| {
    for format in [Format::Text, Format::OpenMetrics] {
        for entry in Parser::new(bytes, format) {
            if let Ok(Entry::Sample(sample)) = entry {
                assert!(!sample.series.raw().is_empty());
                drop(sample.series.to_labels());
            }
        }
    }
});
