//! `/status/tsdb/blocks`: the blocks on disk, in the form of Prometheus' `meta.json`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use swell_engine::BlockListing;
use swell_model::TimestampMs;

use crate::answer::success;
use crate::service::Api;

/// Crockford's alphabet, in which such names are written.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Letters of a name: 128 bits, five in each.
const NAME_LEN: u32 = 26;

/// All blocks, oldest first.
pub(crate) async fn blocks(State(api): State<Arc<Api>>) -> Response {
    let blocks = api.db.blocks();
    // A source that is merged and gone is known by its number alone.
    let name_of = |number: u64| {
        let known = blocks.iter().find(|block| block.number == number);
        name(known.map_or(TimestampMs(0), |block| block.range.end_incl), number)
    };
    let shown: Vec<Value> = blocks.iter().map(|block| entry(block, name_of)).collect();
    success(&json!({"blocks": shown}))
}

fn entry(block: &BlockListing, name_of: impl Fn(u64) -> String) -> Value {
    let own = name_of(block.number);
    let level = if block.sources.is_empty() { 1 } else { 2 };
    let sources: Vec<String> = match block.sources.as_slice() {
        [] => vec![own.clone()],
        sources => sources.iter().map(|source| name_of(*source)).collect(),
    };
    json!({
        "ulid": own,
        "minTime": block.range.start_incl.0,
        // As there, the end does not belong to the block.
        "maxTime": block.range.end_incl.0.saturating_add(1),
        "stats": {
            "numSamples": block.sample_count,
            "numSeries": block.series_count,
            "numChunks": block.chunk_count,
        },
        "compaction": {"level": level, "sources": sources},
        "version": 1,
        "swell": {
            "file": block.file,
            "bytes": block.bytes,
            "resolutionMs": block.resolution.0,
        },
    })
}

/// A name in the form of Prometheus' (ULID): 48 bits of time, the end of the block's samples, and its number.
fn name(at: TimestampMs, number: u64) -> String {
    let millis = u64::try_from(at.0).unwrap_or(0) & ((1 << 48) - 1);
    let bits = (u128::from(millis) << 80) | u128::from(number);
    let digit = |place: u32| {
        let five = (bits >> (5 * place)) & 31;
        char::from(DIGITS[usize::try_from(five).expect("five bits")])
    };
    (0..NAME_LEN).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_number() {
        // The time of the example of the specification of ULIDs.
        assert_eq!(name(TimestampMs(1_469_918_176_385), 31), "01ARYZ6S41000000000000000Z");
        assert!(name(TimestampMs(2), 1) > name(TimestampMs(1), 9));
        assert_eq!(name(TimestampMs(-5), 1).len(), 26);
    }
}
