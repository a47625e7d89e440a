//! Every codec gives back every bit.

use proptest::prelude::*;
use swell_model::stale_nan;

use super::*;
use crate::Cursor;

fn parts(writer: &FloatWriter<'_>) -> FloatParts {
    let mut parts = FloatParts::default();
    writer.write(&mut parts);
    assert_eq!(
        parts.body.len() + parts.exceptions.len(),
        writer.body_bytes(),
        "the estimate is exact"
    );
    parts
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

fn check_parts(values: &[f64], parts: &FloatParts, reference: Option<&[i64]>) {
    let mut back = vec![1.5; values.len()];
    let mut from = cursors(parts);
    let (mut kinds, mut numbers) = (from.kinds.clone(), from.numbers.clone());
    let head = FloatHead::skip(&mut kinds, &mut numbers, values.len()).expect("skips");
    assert_eq!(head.has_body, !parts.body.is_empty());
    assert_eq!(head.has_exceptions, !parts.exceptions.is_empty());
    FloatReader::new().read(&mut from, reference, &mut back).expect("decodes");
    assert_eq!(bits(&back), bits(values));
    for cursor in [from.kinds, from.numbers, from.body, from.exceptions, kinds, numbers] {
        assert!(cursor.finish().is_ok());
    }
}

fn check(values: &[f64], max_bytes: usize) {
    let writer = FloatWriter::new(values);
    let parts = parts(&writer);
    check_parts(values, &parts, None);
    let mut whole = Vec::new();
    writer.write_whole(&mut whole);
    assert!(
        whole.len() <= max_bytes,
        "{} > {max_bytes} bytes, kinds {:?}",
        whole.len(),
        parts.kinds
    );
    whole.push(77);
    let mut cursor = Cursor::new(&whole);
    let mut back = vec![1.5; values.len()];
    FloatReader::new().read_whole(&mut cursor, &mut back).expect("decodes");
    assert_eq!(bits(&back), bits(values));
    assert_eq!(cursor.remaining(), 1);
}

/// Writes `values` as referring to `other`, if both can be; gives the bytes of the body.
fn check_referring(values: &[f64], other: &[f64]) -> Option<usize> {
    let other = FloatWriter::new(other);
    let other_parts = parts(&other);
    let mut reader = FloatReader::new();
    let mut decoded = vec![0.0; values.len()];
    reader.read(&mut cursors(&other_parts), None, &mut decoded).expect("decodes");
    let reference = other.mantissas()?;
    assert_eq!(reader.mantissas(), Some(reference));
    let mut writer = FloatWriter::new(values);
    if !writer.refer_to(reference) {
        return None;
    }
    let parts = parts(&writer);
    check_parts(values, &parts, Some(reference));
    let mut back = vec![0.0; values.len()];
    assert!(FloatReader::new().read(&mut cursors(&parts), None, &mut back).is_err());
    Some(parts.body.len())
}

#[test]
fn constants_are_heads_only() {
    check(&[], 0);
    check(&[1.0; 1000], 3);
    check(&[0.25; 1000], 4);
    check(&[f64::NAN; 1000], 9);
    check(&[-0.0; 10], 9);
    check(&[stale_nan(); 10], 9);
}

#[test]
fn a_staleness_marker_does_not_spoil_a_counter() {
    let counter: Vec<f64> = (0..480).map(|i| 1_000_000.0 + f64::from(i) * 7.0).collect();
    check(&counter, 24);
    let mut broken = counter;
    broken[200] = stale_nan();
    check(&broken, 44);
    broken[100] = f64::INFINITY;
    broken[479] = -0.0;
    check(&broken, 90);
}

#[test]
fn a_column_that_starts_without_numbers_is_decimal_after() {
    let mut quantile = vec![f64::NAN; 100];
    quantile.extend((0..400).map(|i| f64::from(i % 7) / 1000.0));
    check(&quantile, 100 * 9 + 400);
}

#[test]
fn percentages_and_bytes_pack_small() {
    let load: Vec<f64> = (0..512).map(|i| f64::from((i * 37) % 400) / 100.0).collect();
    check(&load, 512 * 9 / 8 + 40);
    let memory: Vec<f64> =
        (0..512).map(|i| f64::from(8_000_000 + (i * 37) % 64) * 4096.0).collect();
    check(&memory, 512 * 6 / 8 + 40);
}

#[test]
fn sums_of_durations_are_pseudo_decimals() {
    let mut sum = 0.0;
    let sums: Vec<f64> = (0..512)
        .map(|i| {
            sum += f64::from(1_000 + (i * 7919) % 512) / 1e6;
            sum
        })
        .collect();
    check(&sums, 512 * 3);
}

#[test]
fn noise_costs_little_more_than_itself() {
    let noise: Vec<f64> = (0..512u64)
        .map(|i| {
            f64::from_bits(0x3fe0_0000_0000_0000 | i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12)
        })
        .collect();
    check(&noise, 512 * 8 + 32);
}

#[test]
fn buckets_refer_to_each_other() {
    let mut within = 0u32;
    let inner: Vec<f64> = (0..400u32)
        .map(|i| {
            within += i * 7919 % 300;
            f64::from(within)
        })
        .collect();
    let outer: Vec<f64> =
        inner.iter().enumerate().map(|(i, v)| v + (i as f64 / 10.0).floor()).collect();
    assert!(check_referring(&outer, &inner).expect("refers") < 120);
    assert_eq!(check_referring(&inner, &inner), Some(0));
    let unrelated: Vec<f64> = (0..400u32).map(|i| f64::from(i * i % 1013)).collect();
    assert_eq!(check_referring(&unrelated, &inner), None);
    let mantissas = |values: &[f64]| -> Vec<i64> {
        FloatWriter::new(values).into_mantissas().expect("decimal")
    };
    let (near, far, short) = (mantissas(&inner), mantissas(&unrelated), mantissas(&inner[..200]));
    let best_of = |references: &[(&[i64], &'static str)]| {
        FloatWriter::new(&outer).best_reference(references.iter().copied())
    };
    assert_eq!(best_of(&[(&far, "far"), (&near, "near"), (&near, "again")]), Some("near"));
    assert_eq!(best_of(&[(&far, "far"), (&short, "short")]), None);
    let mut stale = outer.clone();
    stale[7] = stale_nan();
    assert!(check_referring(&stale, &inner).is_some());
}

#[test]
fn wrong_heads_are_refused() {
    for kinds in [&[][..], &[7], &[CONSTANT | HAS_EXCEPTIONS, 0], &[DECIMAL, 99], &[0x80]] {
        let mut out = [0.0; 4];
        let parts = FloatParts { kinds: kinds.to_vec(), ..FloatParts::default() };
        let mut from = cursors(&parts);
        assert!(FloatReader::new().read(&mut from, None, &mut out).is_err());
        assert!(FloatReader::new().read_whole(&mut Cursor::new(kinds), &mut out).is_err());
        let (mut kinds, mut numbers) = (Cursor::new(kinds), Cursor::new(&[]));
        assert!(FloatHead::skip(&mut kinds, &mut numbers, 4).is_err());
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-100_000i32..100_000, 0i32..4).prop_map(|(m, e)| f64::from(m) / 10f64.powi(e)),
        2 => (0i32..3).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
        1 => prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE, 5e-324]),
    ]
}

proptest! {
    #[test]
    fn any_values_come_back(values in prop::collection::vec(any_value(), 0..400)) {
        check(&values, usize::MAX);
    }

    #[test]
    fn any_bits_come_back(values in prop::collection::vec(any::<u64>(), 0..300)) {
        check(&values.into_iter().map(f64::from_bits).collect::<Vec<_>>(), usize::MAX);
    }

    #[test]
    fn any_columns_may_refer(
        pairs in prop::collection::vec((any_value(), any_value()), 1..300),
        steps in prop::collection::vec((0u16..500, 0u16..20), 1..300),
    ) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        check_referring(&a, &b);
        let (mut inner, mut outer) = (0.0, 0.0);
        let counters = steps.iter().map(|(few, more)| {
            inner += f64::from(*few);
            outer += f64::from(*few) + f64::from(*more);
            (inner, outer)
        });
        let (inner, outer): (Vec<f64>, Vec<f64>) = counters.unzip();
        check_referring(&outer, &inner);
    }

    #[test]
    fn garbage_never_panics(
        kinds in prop::collection::vec(any::<u8>(), 0..5),
        numbers in prop::collection::vec(any::<u8>(), 0..30),
        body in prop::collection::vec(any::<u8>(), 0..400),
        exceptions in prop::collection::vec(any::<u8>(), 0..40),
        count in 0usize..300,
    ) {
        let mut out = vec![0.0; count];
        let parts = FloatParts { kinds, numbers, body, exceptions };
        let mut from = cursors(&parts);
        let reference = vec![i64::MAX; count];
        if FloatReader::new().read(&mut from, Some(&reference), &mut out).is_ok() {
            prop_assert!(out.is_empty() || from.kinds.offset() > 0);
        }
        let whole: Vec<u8> = parts.kinds.iter().chain(&parts.numbers).chain(&parts.body).copied().collect();
        let mut cursor = Cursor::new(&whole);
        if FloatReader::new().read_whole(&mut cursor, &mut out).is_ok() {
            prop_assert!(cursor.offset() <= whole.len());
        }
    }

    #[test]
    fn damaged_columns_never_panic(
        values in prop::collection::vec(any_value(), 1..200),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
    ) {
        let mut whole = Vec::new();
        FloatWriter::new(&values).write_whole(&mut whole);
        let at = at.index(whole.len());
        whole[at] ^= mask;
        let mut out = vec![0.0; values.len()];
        let mut cursor = Cursor::new(&whole);
        if FloatReader::new().read_whole(&mut cursor, &mut out).is_ok() {
            prop_assert!(cursor.offset() <= whole.len());
        }
    }
}
