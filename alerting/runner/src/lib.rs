//! Runs rule groups and notifications: schedule, state that survives a restart, notification log, resend, HTTP surface.
//!
//! Two tasks own all state. The rules task ([`AlertRunner::run`] starts both) evaluates groups on a bounded blocking
//! pool, writes their samples and hands alerts on; the notifier task groups alerts, compares each due group with the
//! notification log, has it sent, and writes the log. Everything they decide is decided in `swell-rules` and
//! `swell-route`; what they do is in this crate.
//!
//! Beside the notifier, alerts of rules go to Alertmanagers outside ([`AlertingHandle::forward_to`]), each with a queue
//! and a task of its own.
//!
//! [`run_unit_tests`] runs the same groups over given series, for `swell test rules`.
//!
//! Absent on purpose: query execution ([`RuleEvaluator`] is given), reading configuration files, finding Alertmanagers.

mod backoff;
mod config;
mod evaluator;
mod flush;
mod forward;
mod group;
mod http;
mod metrics;
mod notification_log;
mod notifier;
mod picture;
mod rules_file;
mod rules_task;
mod runner;
mod schedule;
mod silences;
mod state_file;
mod unit_test;
mod view;
mod writer;

pub use config::{
    Config, Dependencies, Notifier, NotifierError, RuleSettings, RuleSource, RuleSourceError,
    load_notifier, load_rules,
};
pub use evaluator::RuleEvaluator;
pub use forward::{AlertRelabel, AlertmanagerSet, ForwardLimits, Forwarding};
pub use http::operations;
pub use notification_log::{Delivery, DeliveryState};
pub use runner::{AlertRunner, AlertingHandle, BuildError, ReloadError};
pub use swell_rules::{
    CheckOptions, Finding, InstantSample, InstantValue, RestoreOptions, RuleFile, check_rules,
};
pub use unit_test::{
    TestBench, UnitTestError, UnitTestFile, UnitTestOptions, UnitTestOutcome, parse_unit_tests,
    run_unit_tests,
};
pub use view::{ActiveAlert, GroupView, RuleHealth, RuleView};
