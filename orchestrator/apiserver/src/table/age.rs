//! Times as people read them: `5m30s`, `3h`, `2d4h`.

use serde_json::Value;
use swell_model::TimestampMs;

/// Time since a timestamp; `<unknown>` without one.
pub(super) fn since(at: &Value, now: TimestampMs) -> String {
    let parsed = at.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    parsed.map_or_else(
        || "<unknown>".to_owned(),
        |at| human((now.0 - at.as_millisecond()).div_euclid(1000)),
    )
}

/// A time in seconds in at most two units (`k8s.io/apimachinery/pkg/util/duration.HumanDuration`).
pub(super) fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    let years = days / 365;
    let two = |first: i64, unit: &str, second: i64, second_unit: &str| {
        if second == 0 {
            format!("{first}{unit}")
        } else {
            format!("{first}{unit}{second}{second_unit}")
        }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(years, "y", days % 365, "d"),
        252_288_000.. => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn times_read_as_kubectl_writes_them() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (600, "10m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (36_000, "10h"),
            (183_600, "2d3h"),
            (864_000, "10d"),
            (63_158_400, "2y1d"),
            (315_360_000, "10y"),
        ] {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }
}
