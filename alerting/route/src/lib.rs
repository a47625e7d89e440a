//! Route tree and grouping: whether, when and why a notification is sent.
//!
//! [`parse_config`] makes a checked [`Config`] out of an Alertmanager configuration. [`RouteTree::matches`] says which
//! routes an alert takes, [`Dispatcher`] collects alerts into groups and says which are due, [`decide`] compares a due
//! group with the notification log and says whether and why to notify. [`inhibited_by`] says which alert mutes another,
//! [`Silences`] which are muted by people, [`TimeInterval`] when a route is.
//!
//! Absent on purpose: sending (receivers), the files of log and silences, a clock.

mod alert;
mod config;
mod decide;
mod dispatch;
mod inhibit;
mod interval;
mod matchers;
mod silence;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tree;

pub use alert::{Alert, AlertStore, Fingerprint};
pub use config::{
    AtConfig, Authorization, Config, ConfigFault, DingTalkConfig, DingTalkMessageType, HttpConfig,
    Integration, PagerDutyConfig, PagerDutyImage, PagerDutyLink, Receiver, Secret, SecretSource,
    SlackAction, SlackConfig, SlackField, WebhookConfig, parse_config,
};
pub use decide::{Decision, LogEntry, NotifyReason, SkipReason, decide};
pub use dispatch::{Dispatcher, Flush, Group, GroupId, GroupView};
pub use inhibit::{InhibitRule, inhibited_by};
pub use interval::{TimeInterval, is_inside};
pub use matchers::{
    FallbackVerdict, MatchersError, canonical, matches_all, parse_classic, parse_fallback,
    parse_utf8,
};
pub use silence::{
    SILENCE_MATCHERS_MAX, SILENCE_PATTERN_BYTES_MAX, Silence, SilenceDraft, SilenceFault,
    SilenceState, Silences,
};
pub use tree::{GroupBy, Route, RouteId, RouteTree};
