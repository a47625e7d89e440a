//! Functions of time: parts of a date in UTC, times of samples.

use super::{EvalError, Evaluator, Grid, Node};
use crate::eval::{Column, SampleTime, Series};
use crate::plan::NodeKind;

const DAY_S: i64 = 86_400;

/// A part of a date, computed from seconds since the epoch.
pub(super) fn date_function(name: &str) -> Option<fn(i64) -> i64> {
    Some(match name {
        "minute" => |at| at.rem_euclid(3600) / 60,
        "hour" => |at| at.rem_euclid(DAY_S) / 3600,
        "day_of_week" => |at| (at.div_euclid(DAY_S) + 4).rem_euclid(7),
        "day_of_month" => |at| Civil::of(at).day,
        "day_of_year" => |at| {
            let civil = Civil::of(at);
            at.div_euclid(DAY_S) - days_from_civil(civil.year, 1, 1) + 1
        },
        "days_in_month" => |at| {
            let civil = Civil::of(at);
            let (year, month) =
                if civil.month == 12 { (civil.year + 1, 1) } else { (civil.year, civil.month + 1) };
            days_from_civil(year, month, 1) - days_from_civil(civil.year, civil.month, 1)
        },
        "month" => |at| Civil::of(at).month,
        "year" => |at| Civil::of(at).year,
        _ => return None,
    })
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
}

/// Days of 400 Gregorian years.
const ERA_DAYS: i64 = 146_097;

impl Civil {
    /// The date in the proleptic Gregorian calendar; the year begins in March while computing, so that the leap
    /// day is its last (Howard Hinnant, "chrono-compatible low-level date algorithms").
    fn of(at: i64) -> Self {
        let days = at.div_euclid(DAY_S) + 719_468;
        let era = days.div_euclid(ERA_DAYS);
        let day_of_era = days.rem_euclid(ERA_DAYS);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - 719_468
}

/// Seconds of a step's time.
pub(super) fn seconds_at(grid: &Grid, step: usize) -> f64 {
    crate::eval::seconds(grid.at(step))
}

/// A part of the date that the samples hold in seconds, or of the step's time without an argument.
pub(super) fn call(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
    part: fn(i64) -> i64,
) -> Result<Vec<Series>, EvalError> {
    #[expect(clippy::cast_precision_loss, reason = "parts of dates are small")]
    let value = |seconds: i64| part(seconds.clamp(-SECONDS_MAX, SECONDS_MAX)) as f64;
    let Some(arg) = args.first() else {
        let mut column = Column::absent(grid.count);
        for step in 0..grid.count {
            column.set_float(step, value(grid.at(step).div_euclid(1000)));
        }
        let labels = swell_model::Labels::empty();
        return Ok(vec![Series { labels, drop_name: false, column }]);
    };
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is clamped")]
    super::math::map(ev, node, arg, grid, |seconds| value(seconds as i64))
}

/// Beyond this the calendar arithmetic would overflow; no date makes sense there.
const SECONDS_MAX: i64 = i64::MAX / 1000;

/// `timestamp`: of a selector the samples' own times, of anything else the step's.
pub(super) fn timestamp(
    ev: &mut Evaluator<'_>,
    node: &Node,
    arg: &Node,
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let series = if let NodeKind::Selector(selector) = &arg.kind {
        ev.selector(selector, arg.span, grid, SampleTime::Timestamp)?
    } else {
        let mut series = ev.vector(arg, grid)?;
        for one in &mut series {
            for step in 0..grid.count {
                if one.column.is_present(step) {
                    one.column.set_float(step, seconds_at(grid, step));
                }
            }
        }
        series
    };
    ev.nameless(series, node)
}

/// `start_timestamp`: of a selector only; the start times of anything else are lost.
pub(super) fn start_timestamp(
    ev: &mut Evaluator<'_>,
    node: &Node,
    arg: &Node,
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let NodeKind::Selector(selector) = &arg.kind else {
        ev.vector(arg, grid)?;
        return Ok(Vec::new());
    };
    if !ev.params.features.start_timestamps {
        return Ok(Vec::new());
    }
    let series = ev.selector(selector, arg.span, grid, SampleTime::Start)?;
    ev.nameless(series, node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates() {
        let part = |name: &str, at: i64| date_function(name).map(|part| part(at));
        // 2000-02-29T12:34:56Z
        let at = 951_827_696;
        for (name, expected) in [
            ("minute", 34),
            ("hour", 12),
            ("day_of_week", 2),
            ("day_of_month", 29),
            ("day_of_year", 60),
            ("days_in_month", 29),
            ("month", 2),
            ("year", 2000),
        ] {
            assert_eq!(part(name, at), Some(expected), "{name}");
        }
        assert_eq!(
            (part("year", -1), part("month", -1), part("hour", -1)),
            (Some(1969), Some(12), Some(23))
        );
    }
}
