//! Times of objects: whole seconds, as Kubernetes writes them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use swell_model::TimestampMs;

/// `at` as objects carry it, without its fraction of a second.
#[must_use]
pub fn time(at: TimestampMs) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(at.0.div_euclid(1000)).unwrap_or_default())
}

/// `at` as leases and newer events carry it.
#[must_use]
pub fn micro_time(at: TimestampMs) -> MicroTime {
    MicroTime(k8s_openapi::jiff::Timestamp::from_millisecond(at.0).unwrap_or_default())
}

/// An object's time in milliseconds.
#[must_use]
pub fn millis_of(time: &Time) -> TimestampMs {
    TimestampMs(time.0.as_millisecond())
}
