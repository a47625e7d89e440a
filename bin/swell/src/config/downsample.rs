//! From the raw `swell.downsample` to checked resolutions.

use swell_engine::Tier;
use swell_model::DurationMs;

use super::raw::RawTier;

/// Lengths of stretches that are offered.
const RESOLUTIONS: [DurationMs; 3] =
    [DurationMs::from_secs(60), DurationMs::from_secs(300), DurationMs::from_secs(3600)];
/// A day is aggregated some hours after it has ended: until then its samples must be there.
const SAMPLES_MIN: DurationMs = DurationMs::from_secs(2 * 24 * 3600);

/// Checks `swell.downsample`; faults go to `faults`. The finest resolution comes first.
pub(super) fn tiers(raw: &[RawTier], faults: &mut Vec<String>) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = Vec::new();
    for one in raw {
        let (resolution, retention) = (one.resolution.0, one.retention.0);
        if !RESOLUTIONS.contains(&resolution) {
            faults.push(format!("swell.downsample: resolution {resolution}: one of 1m, 5m, 1h"));
        } else if tiers.iter().any(|tier| tier.resolution == resolution) {
            faults.push(format!("swell.downsample: resolution {resolution} is there twice"));
        } else if retention.0 <= 0 {
            faults.push(format!(
                "swell.downsample: the retention of resolution {resolution} must be above 0"
            ));
        } else {
            tiers.push(Tier { resolution, retention });
        }
    }
    tiers.sort_by_key(|tier| tier.resolution);
    tiers
}

/// Why these settings would lose samples before they are aggregated, if they would.
pub(crate) fn fault(storage: &swell_engine::Config) -> Option<String> {
    let least = SAMPLES_MIN + storage.out_of_order_window;
    (!storage.tiers.is_empty() && storage.retention_time < least).then(|| {
        format!(
            "swell.downsample: a day is aggregated when nothing can come for it any more, so samples must be kept {least} at least: storage.tsdb.retention.time is {}",
            storage.retention_time
        )
    })
}
