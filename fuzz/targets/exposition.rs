//! Any bytes: every line and message is answered, and series of good samples can be taken apart or say why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_exposition::{
    BodyFault, BodyFormat, Entry, Format, HistogramOptions, SeriesText, visit_body,
};

fuzz_target!(|bytes: &[u8]| {
    let formats = [
        BodyFormat::Text(Format::Text),
        BodyFormat::Text(Format::OpenMetrics),
        BodyFormat::Protobuf,
    ];
    for format in formats {
        for native in [false, true] {
            let options =
                HistogramOptions { native, always_classic: native, classic_as_custom: !native };
            drop(visit_body(bytes, format, &options, &mut |entry| {
                match entry {
                    Entry::Sample(sample) => take_apart(sample.series),
                    Entry::Histogram(sample) => take_apart(sample.series),
                    _ => {}
                }
                Ok::<(), BodyFault>(())
            }));
        }
    }
});

fn take_apart(series: SeriesText<'_>) {
    assert!(!series.raw().is_empty());
    drop(series.to_labels());
}
