//! Rule groups: file types, the state machine of alerts as a step function, recording rules, annotation templates.
//!
//! [`parse_rule_file`] makes checked [`RuleFile`]s out of YAML, or [`Finding`]s. At each evaluation the caller
//! runs the query and hands the result to [`step`] (alerting) or [`record`] (recording); both say which samples to
//! write. [`SeriesTracker`] says which series vanished, [`restore`] what survives a restart,
//! [`AlertInstance::needs_sending`] what is to be handed to the notifier, and [`batches`] which rules may run at once.
//! [`render_console`] makes pages of consoles, whose templates have the functions of those of alerts.
//!
//! Absent on purpose: query execution, a clock, files.

mod alert;
mod batches;
mod console;
mod file;
mod functions;
mod histogram;
mod record;
mod restore;
mod rule;
mod series;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;

pub use alert::{
    AlertInstance, AlertState, AlertStep, EvaluationContext, RESOLVED_RETENTION, RuleState,
    StepError, Transition, ends_at, step,
};
pub use batches::batches;
pub use console::{ConsoleData, ConsoleError, render_console};
pub use file::{
    CheckOptions, Finding, Location, check_rules, parse_rule_file, parse_rule_file_with,
};
pub use functions::QuerySource;
pub use record::{RecordError, RecordedSample, record};
pub use restore::{RestoreOptions, restore};
pub use rule::{
    AlertingRule, InstantSample, InstantValue, RecordingRule, Rule, RuleFile, RuleGroup,
};
pub use series::SeriesTracker;
pub use text::Text;
