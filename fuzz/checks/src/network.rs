//! What comes over the network.

use std::sync::atomic::{AtomicU64, Ordering};

use swell_exposition::{
    BodyFault, BodyFormat, Entry, Format, HistogramOptions, Parser, SeriesText, visit_body,
};
use swell_model::{AppendError, AppendReport, Batch, Labels, SampleSink, SeriesRef, TimestampMs};
use swell_otlp::{Accumulator, Deltas, Encoding, Refused, Settings, Strategy, translate};
use swell_wire::remote_write::{Item, Message, Part, items, read_symbols};

/// Any bytes: every line and message is answered, and series of good samples can be taken apart or say why not; what
/// is expected to come next does not change what does.
pub(crate) fn exposition(bytes: &[u8]) -> bool {
    for format in [Format::Text, Format::OpenMetrics] {
        let entries: Vec<_> = Parser::new(bytes, format).collect();
        let texts = entries.iter().filter_map(|entry| match entry {
            Ok(Entry::Sample(sample)) => Some(sample.series.raw()),
            _ => None,
        });
        for text in texts.take(8) {
            let mut parser = Parser::new(bytes, format);
            for entry in &entries {
                // As they show themselves, since numbers that are none are not equal.
                let found = parser.next_expecting(text).expect("as many entries");
                assert_eq!(format!("{found:?}"), format!("{entry:?}"));
            }
            assert_eq!(parser.next_expecting(text), None);
        }
    }
    let formats = [
        BodyFormat::Text(Format::Text),
        BodyFormat::Text(Format::OpenMetrics),
        BodyFormat::Protobuf,
    ];
    let mut sample_count = 0_usize;
    for format in formats {
        for native in [false, true] {
            let options =
                HistogramOptions { native, always_classic: native, classic_as_custom: !native };
            drop(visit_body(bytes, format, &options, &mut |entry| {
                match entry {
                    Entry::Sample(sample) => take_apart(sample.series),
                    Entry::Histogram(sample) => take_apart(sample.series),
                    _ => return Ok(()),
                }
                sample_count += 1;
                Ok::<(), BodyFault>(())
            }));
        }
    }
    sample_count > 0
}

fn take_apart(series: SeriesText<'_>) {
    assert!(!series.raw().is_empty());
    drop(series.to_labels());
}

/// Any bytes as a packed body, the first of which says how: unpacked within its limit, alike in whatever pieces it comes,
/// or refused.
pub(crate) fn scrape_body(bytes: &[u8]) -> bool {
    const LIMIT: u64 = 1 << 20;
    let Some((kind, body)) = bytes.split_first() else { return false };
    let encoding = if kind.is_multiple_of(2) { "gzip" } else { "zstd" };
    let whole = swell_scrape::fuzzing::unpacked(encoding, body, usize::MAX, LIMIT);
    let in_pieces = swell_scrape::fuzzing::unpacked(encoding, body, 7, LIMIT);
    assert_eq!(whole, in_pieces);
    whole.is_some_and(|content| {
        assert!(content.len() as u64 <= LIMIT);
        true
    })
}

/// Any bytes as a request of both versions: everything in it is read or refused, what is read keeps the rules, and
/// bodies unpack within their limits.
pub(crate) fn remote_write(bytes: &[u8]) -> bool {
    let unpacked = swell_tsdb_http::fuzzing::unpacked(bytes);
    if let Some(content) = &unpacked {
        assert!(content.len() <= 64 + 22 * bytes.len(), "what is declared is not believed");
    }
    let mut series_count = 0_usize;
    for message in [Message::V1, Message::V2] {
        let mut symbols = Vec::new();
        // Refused as a whole, and still every part must be readable without a panic.
        let _symbols_are_whole = read_symbols(bytes, &mut symbols).is_ok();
        for item in items(bytes, message) {
            let Ok(Item::Series(series)) = item else { continue };
            let again = swell_wire::remote_write::SeriesMessage::at(bytes, series.range(), message);
            assert_eq!(again.bytes(), series.bytes());
            let Ok(labels_len) = series.labels_len() else { continue };
            series_count += 1;
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
                                let named: u64 =
                                    spans.iter().map(|span| u64::from(span.length)).sum();
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
    unpacked.is_some() || series_count > 0
}

/// Any bytes as messages of an agent: taken or refused, and what is stored has as many values as series.
pub(crate) fn agent_stream(bytes: &[u8]) -> bool {
    let sink = Counting::default();
    let taken = swell_stream::fuzzing::apply_messages(bytes, &sink);
    assert!(taken <= bytes.len() / 2);
    taken > 0
}

/// A storage that checks rows and keeps nothing.
#[derive(Default)]
struct Counting {
    series: AtomicU64,
}

impl SampleSink for Counting {
    fn resolve(&self, _: &Labels) -> Result<SeriesRef, AppendError> {
        Ok(SeriesRef(self.series.fetch_add(1, Ordering::Relaxed)))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let mut report = AppendReport::default();
        for row in &batch.rows {
            assert_eq!(row.series.len(), row.values.len());
            let mut series = row.series.clone();
            series.sort_unstable();
            series.dedup();
            assert_eq!(series.len(), row.series.len(), "a series is once in a row");
            report.stored += row.series.len();
        }
        Ok(report)
    }
}

/// Any bytes as an object of the Kubernetes API, in JSON and protobuf: refused, or complete and then left as it is.
pub(crate) fn api_object(bytes: &[u8]) -> bool {
    swell_apiserver::fuzzing::object(bytes)
}

/// Any bytes as a patch in each of the four forms.
pub(crate) fn api_patch(bytes: &[u8]) -> bool {
    swell_apiserver::fuzzing::patch(bytes)
}

/// Any bytes as lines for InfluxDB: samples with names and faults, never a panic.
pub(crate) fn influx(bytes: &[u8]) -> bool {
    swell_influx::read(bytes, swell_influx::Precision::Seconds, "db", TimestampMs(0)).is_ok_and(
        |lines| {
            assert!(lines.batch.series.iter().all(|labels| labels.metric_name().is_some()));
            assert!(lines.faulty_lines >= lines.faults.len());
            !lines.batch.series.is_empty()
        },
    )
}

/// Any bytes as an OTLP request, in both encodings, under all strategies: samples with names, or an error; deltas summed
/// up and taken back.
pub(crate) fn otlp(bytes: &[u8]) -> bool {
    let mut is_taken = false;
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let Ok(request) = swell_otlp::read(bytes, encoding) else { continue };
        for strategy in Strategy::ALL {
            let nhcb = bytes.len().is_multiple_of(2);
            let settings =
                Settings { strategy, nhcb, type_and_unit_labels: !nhcb, ..Settings::default() };
            drop(translate(&request, &settings, Deltas::AsTheyAre));
            let Ok(mut found) = translate(&request, &settings, Deltas::SummedUp) else { continue };
            for batch in [&found.cumulative, &found.delta] {
                assert!(batch.series.iter().all(|labels| labels.metric_name().is_some()));
                is_taken |= !batch.series.is_empty();
            }
            let mut sums = Accumulator::default();
            let undo = sums.sum_up(&mut found.delta, TimestampMs(0), &mut Refused::default());
            sums.undo(undo);
            assert!(sums.is_empty());
        }
    }
    is_taken
}

/// Any bytes as a request of remote read: queries or an error, never a panic.
pub(crate) fn remote_read(bytes: &[u8]) -> bool {
    swell_wire::remote_read::read_request(bytes).is_ok_and(|request| {
        assert!(request.queries.len() <= bytes.len());
        !request.queries.is_empty()
    })
}

/// Any bytes as an answer of remote read, the first of which says in which form: samples within their bound, or an error.
pub(crate) fn remote_read_answer(bytes: &[u8]) -> bool {
    const SAMPLES_MAX: usize = 100_000;
    const FRAME_MAX: usize = 1 << 20;
    let Some((kind, body)) = bytes.split_first() else { return false };
    let count = if kind.is_multiple_of(2) {
        swell_remote_read::fuzzing::sample_count(body, false, SAMPLES_MAX)
    } else {
        let frame = swell_wire::remote_read::take_frame(body, FRAME_MAX);
        let Ok(Some((message, len))) = frame else { return false };
        assert!(message.len() < len && len <= body.len());
        swell_remote_read::fuzzing::sample_count(message, true, SAMPLES_MAX)
    };
    count.is_some_and(|count| {
        assert!(count <= SAMPLES_MAX);
        count > 0
    })
}
