//! Any bytes as an OTLP request, in both encodings, under all strategies: samples with names, or an error; deltas summed
//! up and taken back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_model::TimestampMs;
use swell_otlp::{Accumulator, Encoding, Refused, Settings, Strategy, read, translate};

fuzz_target!(|bytes: &[u8]| {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let Ok(request) = read(bytes, encoding) else { continue };
        for strategy in Strategy::ALL {
            let settings = Settings { strategy, nhcb: bytes.len() % 2 == 0, ..Settings::default() };
            let Ok(mut found) = translate(&request, &settings, true) else { continue };
            for batch in [&found.cumulative, &found.delta] {
                assert!(batch.series.iter().all(|labels| labels.metric_name().is_some()));
            }
            let mut sums = Accumulator::default();
            let undo = sums.sum_up(&mut found.delta, TimestampMs(0), &mut Refused::default());
            sums.undo(undo);
            assert!(sums.is_empty());
        }
    }
});
