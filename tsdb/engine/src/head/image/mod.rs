//! The head as bytes, as it stands at one moment: what a checkpoint keeps, so that a start need not take all batches of
//! the log again. `docs/format/checkpoint.md` has the layout; [`write`] and [`read`] are its two sides. The label index is
//! written apart.
//!
//! What follows from the rest is not written: members of groups, newest samples, counts. What is deleted has a file of
//! its own.

mod read;
mod write;

pub(crate) use read::HeadReader;
pub(crate) use write::{Given, SealedSegments};

/// Parts of the image, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Floors and counts.
    Scalars,
    /// Of the label index, in checkpoints of version 1 only.
    Index,
    /// Rows of groups.
    Groups,
    /// Sealed segments.
    Segments,
    /// A record for each index.
    Series,
    /// What few series have.
    Extras,
}

/// A part is ended when it has this much.
const PART_BYTES: usize = 1 << 20;

/// Bits of a series.
const IN_GROUP: u8 = 1;
const HAS_CHUNK: u8 = 2;
const LAST_IS_HISTOGRAM: u8 = 4;
const HAS_SAMPLES: u8 = 8;
const HAS_GENERATION: u8 = 16;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use swell_index::TableReader;
    use swell_model::{
        AppendReport, Batch, HistogramSample, Labels, NativeHistogram, Row, TimeRange, TimestampMs,
    };

    use super::super::{Head, HeadSeries, Limits, OpenColumn};
    use super::*;
    use crate::wal::{FlushMark, Position};

    fn labels(nr: usize) -> Labels {
        Labels::from_pairs([("__name__", format!("m{}", nr % 3)), ("pod", format!("p{nr}"))])
    }

    /// What may be done to a head.
    #[derive(Clone, Debug)]
    enum Step {
        /// A row so many milliseconds after, or before, the newest time.
        Row {
            after_ms: i64,
            series: Vec<(usize, f64)>,
            start_ms: i64,
        },
        Histogram {
            after_ms: i64,
            series: usize,
            count: f64,
        },
        /// All before the time so far back is in blocks.
        Flush {
            back_ms: i64,
        },
        Pack,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let value =
            prop_oneof![Just(1.0), (0i32..1000).prop_map(|v| f64::from(v) / 8.0), any::<f64>()];
        let after = prop_oneof![4 => 1i64..2000, 1 => -3000i64..1];
        prop_oneof![
            8 => (after.clone(), prop::collection::vec((0usize..6, value), 1..5), prop::sample::select(vec![0, 0, 0, 5, 9]))
                .prop_map(|(after_ms, series, start_ms)| Step::Row { after_ms, series, start_ms }),
            2 => (after, 0usize..6, 0i32..50)
                .prop_map(|(after_ms, series, count)| Step::Histogram { after_ms, series, count: f64::from(count) }),
            1 => (0i64..4000).prop_map(|back_ms| Step::Flush { back_ms }),
            1 => Just(Step::Pack),
        ]
    }

    fn run(head: &mut Head, steps: &[Step], at_ms: &mut i64, record_nr: &mut u64) {
        let limits =
            Limits { newest: TimestampMs::MAX, late_window_ms: 2500, earliest: TimestampMs::MAX };
        for step in steps {
            *record_nr += 1;
            let position = Position { segment_nr: 1, record_nr: *record_nr };
            let mut batch = Batch::default();
            match step {
                Step::Row { after_ms, series, start_ms } => {
                    let mut row =
                        Row { timestamp: TimestampMs(*at_ms + after_ms), ..Row::default() };
                    for (nr, value) in series {
                        row.series.push(head.resolve(&labels(*nr)));
                        row.values.push(*value);
                        row.starts.extend((*start_ms != 0).then_some(*start_ms));
                    }
                    *at_ms += after_ms.max(&0);
                    batch.rows.push(row);
                }
                Step::Histogram { after_ms, series, count } => {
                    let timestamp = TimestampMs(*at_ms + after_ms);
                    let series = head.resolve(&labels(*series));
                    let value =
                        Arc::new(NativeHistogram { count: *count, ..NativeHistogram::default() });
                    batch.histograms.push(HistogramSample {
                        series,
                        timestamp,
                        value,
                        start_ms: 3,
                    });
                    *at_ms += after_ms.max(&0);
                }
                Step::Flush { back_ms } => {
                    let below = TimestampMs(*at_ms - back_ms);
                    head.forget(&FlushMark { from: TimestampMs(0), below, upto: position }, true);
                }
                Step::Pack => {
                    for (idx, segment) in head.unpacked() {
                        // One that was damaged is told of and stays, as in upkeep.
                        if let Ok(packed) = segment.packed() {
                            head.replace(idx, &segment, packed);
                        }
                    }
                    for (series, samples) in head.full_histograms() {
                        head.pack_histograms(series, super::super::HistogramChunk::new(&samples));
                    }
                }
            }
            let admitted = head.admit(&batch, &limits, &mut AppendReport::default()).into_owned();
            head.apply(&admitted, position, &mut AppendReport::default());
        }
    }

    /// The table of labels, and the parts.
    type Image = (Vec<Vec<u8>>, Vec<(Part, Vec<u8>)>);

    fn image(head: &Head) -> Image {
        let (mut table, mut labels, mut parts) = (head.index.table(), Vec::new(), Vec::new());
        let mut part = Vec::new();
        while head.index.write_part(&mut table, &mut part) {
            labels.push(std::mem::take(&mut part));
        }
        head.write_image(&mut |given| match given {
            Given::Bytes(part, bytes) => parts.push((part, bytes.to_vec())),
            Given::Segments(segments) => segments
                .write(&mut |bytes| {
                    parts.push((Part::Segments, bytes.to_vec()));
                    Ok(())
                })
                .expect("nothing fails"),
        });
        (labels, parts)
    }

    fn read((labels, parts): &Image) -> Result<Head, String> {
        let mut table = TableReader::default();
        labels.iter().try_for_each(|part| table.take(part)).expect("sound");
        let mut index = table.finish().expect("whole");
        index.settle();
        let mut reader = HeadReader::new(parts.iter().map(|(_, bytes)| bytes.len()).sum());
        reader.set_index(index);
        for (part, bytes) in parts {
            reader.take(*part, bytes).map_err(|fault| fault.to_string())?;
        }
        reader.finish().map_err(|fault| fault.to_string())
    }

    /// All that a reader sees.
    fn seen(head: &Head) -> Vec<String> {
        let all: Vec<u32> = (0..u32::try_from(head.series.len()).expect("few"))
            .filter(|idx| head.index.contains(*idx))
            .collect();
        let show = |series: HeadSeries| {
            let open = |open: OpenColumn| (open.rows.0.to_vec(), open.tokens, open.starts);
            let column = |column: &super::super::ColumnRef| {
                // Numbers of members are those of one head: series may stand in another order in the segment.
                let read = |member| {
                    let mut decoded = swell_chunk::TailColumn::default();
                    let mut reader = swell_chunk::FloatReader::new();
                    column.segment.read(member, &mut reader, &mut decoded).expect("sound");
                    (decoded.runs, bits(&decoded.values))
                };
                (
                    column.segment.times().expect("sound"),
                    read(column.member),
                    column.starts_member.map(read),
                )
            };
            let chunks: Vec<_> = series.chunks.iter().map(column).collect();
            let histograms: Vec<_> = series
                .histogram_chunks
                .iter()
                .flat_map(|chunk| {
                    let mut out = Vec::new();
                    chunk.read(&mut out).expect("sound");
                    out
                })
                .chain(series.histograms)
                .map(|(at, point)| {
                    (at, point.value.count.to_bits(), point.value.reset_hint, point.start_ms)
                })
                .collect();
            let late: Vec<_> = series
                .late_floats
                .iter()
                .map(|(at, value, start)| (*at, value.to_bits(), *start))
                .collect();
            let late_histograms: Vec<_> = series
                .late_histograms
                .iter()
                .map(|(at, point)| (*at, point.value.count.to_bits()))
                .collect();
            format!(
                "{} {:?} {chunks:?} {histograms:?} {late:?} {late_histograms:?}",
                series.labels,
                series.open.map(open)
            )
        };
        let mut seen: Vec<String> =
            head.snapshot(&all, TimeRange::ALL).into_iter().map(show).collect();
        seen.extend(all.iter().map(|idx| {
            let newest = match head.newest(*idx, (i64::MIN, i64::MAX)) {
                super::super::Newest::Float(at, value) => format!("{at} {:x}", value.to_bits()),
                other => format!("{other:?}"),
            };
            format!("{:?} {newest} {:?}", head.index.labels(*idx), head.last_of(*idx))
        }));
        seen.push(format!("{:?} {:?} {:?}", head.range(), head.late_range(), head.read_floor()));
        seen.push(format!("{} {:?}", head.late_count(), head.flushable()));
        seen
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn an_image_is_gone_on_with_as_with_the_head(
            steps in prop::collection::vec(any_step(), 0..60),
            repeats in 1usize..8,
            more in prop::collection::vec(any_step(), 0..30),
        ) {
            let mut head = Head::new();
            let (mut at_ms, mut record_nr) = (10_000, 0);
            (0..repeats).for_each(|_| run(&mut head, &steps, &mut at_ms, &mut record_nr));
            let mut back = read(&image(&head)).expect("reads back");
            prop_assert_eq!(seen(&head), seen(&back));
            prop_assert_eq!(head.sizes().0, back.sizes().0);
            let (mut at_back, mut record_back) = (at_ms, record_nr);
            run(&mut head, &more, &mut at_ms, &mut record_nr);
            run(&mut back, &more, &mut at_back, &mut record_back);
            prop_assert_eq!(seen(&head), seen(&back));
        }

        #[test]
        fn damage_is_refused_or_makes_another_head_but_never_panics(
            steps in prop::collection::vec(any_step(), 1..60),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8..), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut head = Head::new();
            run(&mut head, &steps, &mut 10_000, &mut 0);
            let (labels, mut parts) = image(&head);
            let of_head: Vec<usize> =
                (0..parts.len()).filter(|nr| !parts[*nr].1.is_empty()).collect();
            for (part, byte, mask) in flips {
                let bytes = &mut parts[of_head[part.index(of_head.len())]].1;
                let byte = byte.index(bytes.len());
                bytes[byte] ^= mask;
            }
            for cut_part in [None, Some(cut.index(parts.len()))] {
                let parts: Vec<_> = parts
                    .iter()
                    .enumerate()
                    .filter(|(nr, _)| Some(*nr) != cut_part)
                    .map(|(_, part)| part.clone())
                    .collect();
                if let Ok(mut head) = read(&(labels.clone(), parts)) {
                    let all: Vec<u32> = (0..u32::try_from(head.series.len()).expect("few"))
                        .filter(|idx| head.index.contains(*idx))
                        .collect();
                    head.snapshot(&all, TimeRange::ALL);
                    let next = head.max_ms.unwrap_or(0).clamp(0, 1 << 50);
                    run(&mut head, &steps, &mut next.clone(), &mut 0);
                }
            }
        }
    }

    #[test]
    fn a_missing_part_is_noticed() {
        let mut head = Head::new();
        let step = Step::Row { after_ms: 5, series: vec![(0, 1.0), (1, 2.0)], start_ms: 0 };
        run(&mut head, &[step], &mut 10_000, &mut 0);
        let (labels, parts) = image(&head);
        for nr in 0..parts.len() {
            let mut fewer = parts.clone();
            let (part, _) = fewer.remove(nr);
            assert!(read(&(labels.clone(), fewer)).is_err(), "{part:?}");
        }
    }
}
