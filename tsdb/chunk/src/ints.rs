//! A column of integers: differences of order 0, 1 or 2, divided by what all share, bit-packed by 128 with
//! exceptions. All arithmetic wraps, so that every input comes back.
//!
//! ```text
//! kind     byte     order (bits 0-1), scaled (bit 2), all residuals are zero and there is no body (bit 3)
//! numbers  zigzag   first value
//!          zigzag   first difference, order 2 and at least two values
//!          varint   scale, if scaled
//! body     for each 128 residuals, the last block shorter:
//!          byte     width 0-64 (bits 0-6), zigzag (bit 7) or above a base
//!          byte     number of exceptions
//!          zigzag   base, unless zigzag
//!          packed residuals (bitpack.rs)
//!          positions of the exceptions, a byte each
//!          varint   bits above the width, one for each exception
//! ```

use crate::bitpack::{BLOCK_LEN, pack, packed_len, unpack};
use crate::bytes::{Cursor, put_varint, put_zigzag, unzigzag, varint_len, zigzag};
use crate::error::DecodeError;

const SCALED: u8 = 1 << 2;
const FLAT: u8 = 1 << 3;
const ZIGZAG: u8 = 1 << 7;

/// How a column will be encoded, and what it will take.
#[derive(Clone, Debug)]
pub(crate) struct IntPlan {
    order: u8,
    scale: u64,
    residuals: Vec<i64>,
    /// Of each block; none when all residuals are zero.
    shapes: Vec<Shape>,
    /// Bytes of the body.
    pub(crate) body_bytes: usize,
}

/// Values of each end of a long column that decide on its order of differences.
const TRIAL_LEN: usize = 2 * BLOCK_LEN;

/// Chooses the order of differences that takes the fewest bytes, of a long column by looking at both ends.
pub(crate) fn plan(values: &[i64]) -> IntPlan {
    let scale = shared_scale(values);
    let is_short = values.len() <= 2 * TRIAL_LEN;
    let trials: &[&[i64]] = if is_short {
        &[values]
    } else {
        &[&values[..TRIAL_LEN], &values[values.len() - TRIAL_LEN..]]
    };
    let mut best = Shaped::default();
    best.try_order(trials, 1, scale, usize::MAX);
    let mut other = Shaped::default();
    for order in [0, 2] {
        // Of equal ones the lowest order counts.
        let bytes_max = best.bytes.checked_sub(usize::from(order > best.order));
        let Some(bytes_max) = bytes_max else { break };
        if other.try_order(trials, order, scale, bytes_max) {
            std::mem::swap(&mut best, &mut other);
        }
    }
    if !is_short {
        best.try_order(&[values], best.order, scale, usize::MAX);
    }
    let Shaped { order, residuals, shapes, bytes: body_bytes } = best;
    IntPlan { order, scale, residuals, shapes, body_bytes }
}

/// Residuals of an order, and how each block of them is packed.
#[derive(Debug, Default)]
struct Shaped {
    order: u8,
    residuals: Vec<i64>,
    /// None when all residuals are zero.
    shapes: Vec<Shape>,
    bytes: usize,
}

impl Shaped {
    /// Finds how stretches of values are packed as differences of that order; gives whether that takes `bytes_max` at
    /// most. Otherwise what is here is of no use.
    fn try_order(&mut self, stretches: &[&[i64]], order: u8, scale: u64, bytes_max: usize) -> bool {
        self.order = order;
        self.shapes.clear();
        self.bytes = 0;
        for values in stretches {
            residuals_of(values, order, scale, &mut self.residuals);
            if self.residuals.iter().all(|residual| *residual == 0) {
                continue;
            }
            for block in self.residuals.chunks(BLOCK_LEN) {
                if bytes_max < usize::MAX && self.bytes + least_bytes(block) > bytes_max {
                    return false;
                }
                let shape = Shape::of(block);
                self.bytes += shape.bytes;
                self.shapes.push(shape);
            }
        }
        self.bytes <= bytes_max
    }
}

/// A block takes no fewer bytes, whatever its width: a value above the width takes the bits that stand out as well. Told
/// at a fraction of what finding the width costs.
fn least_bytes(block: &[i64]) -> usize {
    let bits = |value: u64| (u64::BITS - value.leading_zeros()) as usize;
    let base = block.iter().copied().min().unwrap_or_default();
    let (mut folded, mut above) = (0, 0);
    for residual in block {
        folded += bits(zigzag(*residual));
        above += bits(residual.wrapping_sub(base).cast_unsigned());
    }
    folded.min(above) / 8
}

/// Bits that the values take as differences of order 1 or 2, whichever are fewer, without what packing adds: for
/// comparing columns, at a fraction of what a plan costs.
pub(crate) fn residual_bits(values: impl IntoIterator<Item = i64>) -> u64 {
    let (mut first_order, mut second_order) = (0, 0);
    let (mut last, mut last_delta) = (None, 0);
    let bits = |residual: i64| u64::from(64 - zigzag(residual).leading_zeros());
    for value in values {
        if let Some(last) = last {
            let delta = value.wrapping_sub(last);
            first_order += bits(delta);
            second_order += bits(delta.wrapping_sub(last_delta));
            last_delta = delta;
        }
        last = Some(value);
    }
    first_order.min(second_order)
}

/// Encodes in the way that was planned for the same values.
pub(crate) fn encode(
    plan: &IntPlan,
    values: &[i64],
    kinds: &mut Vec<u8>,
    numbers: &mut Vec<u8>,
    body: &mut Vec<u8>,
) {
    let Some(first) = values.first() else { return };
    let scaled = plan.scale > 1;
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    kinds.push(plan.order | flag(scaled, SCALED) | flag(plan.shapes.is_empty(), FLAT));
    put_zigzag(numbers, *first);
    if plan.order == 2 && values.len() > 1 {
        put_zigzag(numbers, divided(values[1].wrapping_sub(*first), plan.scale));
    }
    if scaled {
        put_varint(numbers, plan.scale);
    }
    for (block, shape) in plan.residuals.chunks(BLOCK_LEN).zip(&plan.shapes) {
        encode_block(block, *shape, body);
    }
}

/// Decodes as many integers as `out` has room for.
pub(crate) fn decode(
    kinds: &mut Cursor<'_>,
    numbers: &mut Cursor<'_>,
    body: &mut Cursor<'_>,
    out: &mut [i64],
) -> Result<(), DecodeError> {
    let Some((first_out, rest)) = out.split_first_mut() else { return Ok(()) };
    let head = Head::read(kinds, numbers, !rest.is_empty())?;
    let Head { order, scale, first, first_delta, is_flat } = head;
    *first_out = first;
    let mut last = first;
    let mut delta = first_delta;
    let mut rest = rest;
    if order == 2 && !rest.is_empty() {
        last = last.wrapping_add(delta.wrapping_mul(scale));
        rest[0] = last;
        rest = &mut rest[1..];
    }
    if is_flat {
        let step = if order == 2 { delta.wrapping_mul(scale) } else { 0 };
        for value in rest {
            last = last.wrapping_add(step);
            *value = last;
        }
        return Ok(());
    }
    let mut unpacked = [0u64; BLOCK_LEN];
    for block in rest.chunks_mut(BLOCK_LEN) {
        let base = decode_block(body, &mut unpacked[..block.len()])?;
        let residuals = unpacked.iter().map(|packed| match base {
            Some(base) => base.wrapping_add(packed.cast_signed()),
            None => unzigzag(*packed),
        });
        match order {
            0 => {
                for (value, residual) in block.iter_mut().zip(residuals) {
                    *value = first.wrapping_add(residual.wrapping_mul(scale));
                }
            }
            1 => {
                for (value, residual) in block.iter_mut().zip(residuals) {
                    last = last.wrapping_add(residual.wrapping_mul(scale));
                    *value = last;
                }
            }
            _ => {
                for (value, residual) in block.iter_mut().zip(residuals) {
                    delta = delta.wrapping_add(residual);
                    last = last.wrapping_add(delta.wrapping_mul(scale));
                    *value = last;
                }
            }
        }
    }
    Ok(())
}

/// What stands before the residuals.
struct Head {
    order: u8,
    scale: i64,
    first: i64,
    first_delta: i64,
    is_flat: bool,
}

impl Head {
    fn read(
        kinds: &mut Cursor<'_>,
        numbers: &mut Cursor<'_>,
        has_second: bool,
    ) -> Result<Self, DecodeError> {
        let flags = kinds.u8()?;
        let order = flags & 3;
        if flags & !(FLAT | SCALED | 3) != 0 || order == 3 {
            return Err(kinds.fault("the kind of differences is unknown"));
        }
        let first = numbers.zigzag()?;
        let first_delta = if order == 2 && has_second { numbers.zigzag()? } else { 0 };
        let scale = if flags & SCALED == 0 { 1 } else { numbers.varint()?.cast_signed() };
        Ok(Self { order, scale, first, first_delta, is_flat: flags & FLAT != 0 })
    }
}

/// Moves past the head of a column of `count` integers; gives whether there is a body.
pub(crate) fn skip_head(
    kinds: &mut Cursor<'_>,
    numbers: &mut Cursor<'_>,
    count: usize,
) -> Result<bool, DecodeError> {
    Ok(count > 0 && !Head::read(kinds, numbers, count > 1)?.is_flat)
}

/// Appends a column as one piece: kind, numbers, body.
pub(crate) fn write_whole(values: &[i64], out: &mut Vec<u8>) {
    let (mut numbers, mut body) = (Vec::new(), Vec::new());
    encode(&plan(values), values, out, &mut numbers, &mut body);
    out.extend_from_slice(&numbers);
    out.extend_from_slice(&body);
}

/// Reads what [`write_whole`] wrote.
pub(crate) fn read_whole(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), DecodeError> {
    // Where numbers and body start shows only while the parts before are read: skip first, then read each part.
    let mut kinds = cursor.clone();
    let mut numbers = cursor.clone();
    if !out.is_empty() {
        numbers.u8()?;
    }
    let mut body = numbers.clone();
    skip_head(&mut kinds.clone(), &mut body, out.len())?;
    decode(&mut kinds, &mut numbers, &mut body, out)?;
    *cursor = body;
    Ok(())
}

/// The largest number that divides all differences; 1 when there is nothing to gain.
fn shared_scale(values: &[i64]) -> u64 {
    let mut shared: u64 = 0;
    for pair in values.windows(2) {
        let delta = pair[1].wrapping_sub(pair[0]).unsigned_abs();
        if delta != 0 {
            shared = greatest_common_divisor(delta, shared);
            if shared == 1 {
                return 1;
            }
        }
    }
    if shared == 0 || shared > i64::MAX.unsigned_abs() { 1 } else { shared }
}

const fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn divided(delta: i64, scale: u64) -> i64 {
    if scale == 1 { delta } else { delta / scale.cast_signed() }
}

/// What is left after the values the head holds: `len - 1` residuals, or `len - 2` at order 2.
fn residuals_of(values: &[i64], order: u8, scale: u64, out: &mut Vec<i64>) {
    out.clear();
    match order {
        // Differences from the first need not be multiples of the scale once they wrap, so wrap after dividing.
        0 => {
            let mut sum: i64 = 0;
            out.extend(values.windows(2).map(|pair| {
                sum = sum.wrapping_add(divided(pair[1].wrapping_sub(pair[0]), scale));
                sum
            }));
        }
        1 => {
            out.extend(values.windows(2).map(|pair| divided(pair[1].wrapping_sub(pair[0]), scale)))
        }
        _ => out.extend(values.windows(3).map(|three| {
            divided(three[2].wrapping_sub(three[1]), scale)
                .wrapping_sub(divided(three[1].wrapping_sub(three[0]), scale))
        })),
    }
}

/// How one block is packed.
#[derive(Clone, Copy, Debug)]
struct Shape {
    width: u32,
    /// Residuals stand above it; `None`: zigzag.
    base: Option<i64>,
    bytes: usize,
}

impl Shape {
    fn of(block: &[i64]) -> Self {
        let base = block.iter().copied().min().unwrap_or_default();
        let above = Self::narrowest(
            block.iter().map(|r| r.wrapping_sub(base).cast_unsigned()),
            block.len(),
        );
        let folded = Self::narrowest(block.iter().map(|r| zigzag(*r)), block.len());
        let above_bytes = above.1 + varint_len(zigzag(base));
        if folded.1 <= above_bytes {
            Self { width: folded.0, base: None, bytes: folded.1 + 2 }
        } else {
            Self { width: above.0, base: Some(base), bytes: above_bytes + 2 }
        }
    }

    /// The width with the fewest bytes for packed values and exceptions.
    fn narrowest(values: impl Iterator<Item = u64>, count: usize) -> (u32, usize) {
        // Values longer than each width; room for the widths asked for beyond 64.
        let mut longer = [0u32; 72];
        let mut len_max = 0;
        for value in values {
            let len = 64 - value.leading_zeros();
            longer[len as usize] += 1;
            len_max = len_max.max(len);
        }
        let mut above = 0;
        for count in longer[..=len_max as usize].iter_mut().rev() {
            above += std::mem::replace(count, above);
        }
        let mut best = (len_max, packed_len(count, len_max));
        // Bytes above each width: one for each seven bits begun.
        let mut high_bytes = [0u32; 72];
        for width in (0..len_max).rev() {
            let idx = width as usize;
            high_bytes[idx] = longer[idx] + high_bytes[idx + 7];
            // A byte for the position of each exception.
            let bytes = packed_len(count, width) + (longer[idx] + high_bytes[idx]) as usize;
            if bytes < best.1 {
                best = (width, bytes);
            }
        }
        best
    }
}

fn encode_block(block: &[i64], shape: Shape, body: &mut Vec<u8>) {
    let mut packed = [0u64; BLOCK_LEN];
    for (packed, residual) in packed.iter_mut().zip(block) {
        *packed = match shape.base {
            Some(base) => residual.wrapping_sub(base).cast_unsigned(),
            None => zigzag(*residual),
        };
    }
    let packed = &packed[..block.len()];
    let exceeds = |value: &u64| shape.width < 64 && value >> shape.width != 0;
    let exception_count = packed.iter().filter(|value| exceeds(value)).count();
    let width = u8::try_from(shape.width).expect("at most 64");
    body.push(width | if shape.base.is_none() { ZIGZAG } else { 0 });
    body.push(u8::try_from(exception_count).expect("at most a block"));
    if let Some(base) = shape.base {
        put_zigzag(body, base);
    }
    pack(packed, shape.width, body);
    let exceptions = || packed.iter().enumerate().filter(|(_, value)| exceeds(value));
    body.extend(exceptions().map(|(idx, _)| u8::try_from(idx).expect("below a block")));
    exceptions().for_each(|(_, value)| put_varint(body, value >> shape.width));
}

/// Fills `out` with packed residuals and gives their base, `None` for zigzag.
fn decode_block(body: &mut Cursor<'_>, out: &mut [u64]) -> Result<Option<i64>, DecodeError> {
    let flags = body.u8()?;
    let width = u32::from(flags & !ZIGZAG);
    let exception_count = usize::from(body.u8()?);
    if width > 64 || exception_count > out.len() || (width == 64 && exception_count > 0) {
        return Err(body.fault("a block's width or number of exceptions is impossible"));
    }
    let base = if flags & ZIGZAG == 0 { Some(body.zigzag()?) } else { None };
    unpack(body.take(packed_len(out.len(), width))?, width, out);
    for position in body.take(exception_count)? {
        let high = body.varint()?;
        let value = out
            .get_mut(usize::from(*position))
            .ok_or_else(|| body.fault("an exception lies outside its block"))?;
        *value |= high << width;
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[i64], body_max_bytes: usize) {
        let (mut kinds, mut numbers, mut body) = (Vec::new(), Vec::new(), Vec::new());
        let plan = plan(values);
        encode(&plan, values, &mut kinds, &mut numbers, &mut body);
        assert_eq!(body.len(), plan.body_bytes, "the estimate is exact");
        assert!(body.len() <= body_max_bytes, "{} > {body_max_bytes} bytes", body.len());
        let mut back = vec![7; values.len()];
        let (mut kinds, mut numbers) = (Cursor::new(&kinds), Cursor::new(&numbers));
        let (mut kinds_skipped, mut numbers_skipped) = (kinds.clone(), numbers.clone());
        let has_body = skip_head(&mut kinds_skipped, &mut numbers_skipped, values.len());
        assert_eq!(has_body, Ok(!body.is_empty()));
        let mut body = Cursor::new(&body);
        decode(&mut kinds, &mut numbers, &mut body, &mut back).expect("decodes");
        assert_eq!(back, values);
        for cursor in [kinds, numbers, body, kinds_skipped, numbers_skipped] {
            assert!(cursor.finish().is_ok());
        }
    }

    #[test]
    fn regular_columns_take_almost_nothing() {
        check(&[], 0);
        check(&[5], 0);
        check(&[5, 6], 0);
        check(&[42; 1000], 0);
        check(&(0..1000).map(|i| 1_700_000_000_000 + i * 15_000).collect::<Vec<_>>(), 0);
        check(&(0..1000).map(|i| i * 4096 + (i % 2) * 4096).collect::<Vec<_>>(), 160);
    }

    #[test]
    fn outliers_are_exceptions() {
        let mut counter: Vec<i64> = (0..500).map(|i| 1_000_000 + i * 3 + (i % 3)).collect();
        counter.extend((0..500).map(|i| i * 3 + (i % 3)));
        check(&counter, 400);
        check(&[i64::MIN, i64::MAX, 0, i64::MIN, -1], 60);
    }

    proptest! {
        #[test]
        fn any_integers_come_back(values in prop::collection::vec(any::<i64>(), 0..400)) {
            check(&values, usize::MAX);
        }

        #[test]
        fn scaled_steps_come_back(
            steps in prop::collection::vec(-1000i64..1000, 0..400),
            scale in prop::sample::select(vec![1i64, 3, 4096, 1 << 40, i64::MAX]),
            start in any::<i64>(),
        ) {
            let mut last = start;
            let values: Vec<i64> = steps.iter().map(|s| { last = last.wrapping_add(s.wrapping_mul(scale)); last }).collect();
            check(&values, usize::MAX);
        }

        #[test]
        fn garbage_is_refused_or_decoded_but_never_panics(
            kind in any::<u8>(),
            numbers in prop::collection::vec(any::<u8>(), 0..20),
            body in prop::collection::vec(any::<u8>(), 0..400),
            count in 0usize..400,
        ) {
            let mut out = vec![0; count];
            let kinds = [kind];
            let (mut kinds, mut body) = (Cursor::new(&kinds), Cursor::new(&body));
            if decode(&mut kinds, &mut Cursor::new(&numbers), &mut body, &mut out).is_ok() {
                prop_assert!(count < 3 || body.offset() > 0 || kind & FLAT != 0);
            }
        }
    }
}
