//! Arithmetic against figures worked out by hand, and properties.

use proptest::prelude::*;

use super::*;

fn exponential(schema: i32, offset: i32, counts: &[f64]) -> NativeHistogram {
    NativeHistogram {
        schema,
        count: counts.iter().sum(),
        sum: 1.0,
        positive_spans: vec![Span {
            offset,
            length: u32::try_from(counts.len()).expect("few buckets"),
        }],
        positive_buckets: counts.to_vec(),
        ..NativeHistogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> NativeHistogram {
    NativeHistogram {
        schema: NativeHistogram::CUSTOM_SCHEMA,
        custom_bounds: bounds.to_vec(),
        ..exponential(0, 0, counts)
    }
}

#[test]
fn different_schemas_meet_at_the_coarser_one() {
    // Schema 0 buckets 1 and 2 end at 2 and 4: both lie in bucket 1 of schema -1, which ends at 4.
    let (sum, notes) = exponential(-1, 1, &[1.0])
        .added(&exponential(0, 1, &[2.0, 2.0]))
        .expect("both exponential");
    assert_eq!((sum.schema, sum.positive_buckets), (-1, vec![5.0]));
    assert_eq!(sum.positive_spans, [Span { offset: 1, length: 1 }]);
    assert_eq!(notes, CombineNotes::default());
}

#[test]
fn zero_buckets_widen_past_populated_buckets() {
    let mut wide = exponential(0, 5, &[1.0]);
    wide.zero_threshold = 0.75;
    // Bucket 0 covers (0.5, 1]: the zero bucket may not cut it, so it grows to 1.
    let (sum, _) = exponential(0, 0, &[3.0]).added(&wide).expect("both exponential");
    assert_eq!((sum.zero_threshold, sum.zero_count), (1.0, 3.0));
    assert_eq!(sum.positive_buckets, [1.0]);
}

#[test]
fn a_listed_bound_has_what_is_up_to_it() {
    let mut gappy = custom(&[1.0, 2.0, 5.0], &[1.0, 4.0]);
    gappy.positive_spans = vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }];
    gappy.count = 7.0;
    let found: Vec<(f64, f64)> = gappy.up_to_bounds().collect();
    assert_eq!(found, [(1.0, 1.0), (2.0, 1.0), (5.0, 5.0), (f64::INFINITY, 7.0)]);
}

#[test]
fn custom_bounds_meet_at_the_shared_ones() {
    let (sum, notes) = custom(&[1.0, 2.0, 5.0], &[1.0, 1.0, 1.0, 1.0])
        .added(&custom(&[2.0, 4.0, 5.0], &[2.0, 2.0, 2.0]))
        .expect("both custom");
    assert!(notes.bounds_reconciled);
    assert_eq!((sum.custom_bounds, sum.positive_buckets), (vec![2.0, 5.0], vec![4.0, 5.0, 1.0]));
    assert_eq!(custom(&[1.0], &[1.0]).added(&exponential(0, 0, &[1.0])), Err(IncompatibleSchema));
}

#[test]
fn resets_are_seen_in_counts_buckets_and_hints() {
    let first = exponential(0, 0, &[1.0, 2.0]);
    assert!(!exponential(0, 0, &[1.0, 3.0]).is_reset_from(&first));
    assert!(exponential(0, 0, &[0.0, 4.0]).is_reset_from(&first));
    assert!(exponential(0, 1, &[4.0]).is_reset_from(&first), "bucket 0 is gone");
    assert!(exponential(1, 0, &[9.0]).is_reset_from(&first), "a finer schema");
    assert!(!exponential(-1, 0, &[1.0, 2.0]).is_reset_from(&first));
    let hinted =
        NativeHistogram { reset_hint: CounterResetHint::NotReset, ..NativeHistogram::default() };
    assert!(!hinted.is_reset_from(&first));
}

#[test]
fn hints_join_and_contradict() {
    let hinted = |reset_hint| NativeHistogram { reset_hint, ..NativeHistogram::default() };
    let join = |one, two| {
        let (sum, notes) = hinted(one).added(&hinted(two)).expect("same schema");
        (sum.reset_hint, notes.reset_collision)
    };
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    assert_eq!(join(Reset, NotReset), (Unknown, true));
    assert_eq!(join(Reset, Reset), (Reset, false));
    assert_eq!(join(Unknown, Gauge), (Gauge, false));
    assert_eq!(join(NotReset, Unknown), (Unknown, false));
}

#[test]
fn stored_hints_tell_what_did_not_happen() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    let first = exponential(0, 0, &[1.0, 2.0]);
    let next = exponential(0, 0, &[1.0, 3.0]);
    assert_eq!((next.hint_after(None), next.hint_after(Some(&first))), (Unknown, NotReset));
    assert_eq!(first.hint_after(Some(&next)), Unknown);
    let hinted = |reset_hint| NativeHistogram { reset_hint, ..next.clone() };
    assert_eq!(hinted(Reset).hint_after(Some(&first)), Unknown);
    assert_eq!(hinted(Gauge).hint_after(Some(&first)), Gauge);
    assert_eq!(next.hint_after(Some(&hinted(Gauge))), Unknown);
}

fn arbitrary() -> impl Strategy<Value = NativeHistogram> {
    let counts = prop::collection::vec(0_u8..5, 0..6);
    (-2..4_i32, -4..4_i32, counts.clone(), counts, 0..3_u8).prop_map(
        |(schema, offset, positive, negative, zero)| {
            let counts = |counts: Vec<u8>| counts.into_iter().map(f64::from).collect::<Vec<_>>();
            let span = |counts: &[f64]| {
                vec![Span { offset, length: u32::try_from(counts.len()).expect("few buckets") }]
            };
            let (positive, negative) = (counts(positive), counts(negative));
            NativeHistogram {
                schema,
                zero_count: f64::from(zero),
                zero_threshold: f64::from(zero) / 8.0,
                count: positive.iter().chain(&negative).sum::<f64>() + f64::from(zero),
                sum: 3.0,
                positive_spans: span(&positive),
                positive_buckets: positive,
                negative_spans: span(&negative),
                negative_buckets: negative,
                ..NativeHistogram::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn adding_keeps_every_observation(one in arbitrary(), two in arbitrary()) {
        let (sum, _) = one.added(&two).expect("both exponential");
        let held = |h: &NativeHistogram| h.buckets().iter().map(|bucket| bucket.count).sum::<f64>();
        prop_assert_eq!(held(&sum), held(&one) + held(&two));
        let (other, _) = two.added(&one).expect("both exponential");
        prop_assert!(sum.same_data(&other));
    }

    #[test]
    fn a_sum_is_no_reset_from_its_parts(one in arbitrary(), two in arbitrary()) {
        let (sum, _) = one.added(&two).expect("both exponential");
        prop_assert!(!sum.is_reset_from(&one), "{sum:?} from {one:?}");
    }

    #[test]
    fn trimming_splits_the_count(h in arbitrary(), value in -20.0..20.0_f64) {
        let below = h.trimmed(value, Keep::Below).count;
        let above = h.trimmed(value, Keep::Above).count;
        prop_assert!((below + above - h.count).abs() < 1e-9);
    }
}
