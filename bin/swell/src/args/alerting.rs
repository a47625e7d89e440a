//! Rules and the sending of alerts, under Prometheus' names.

use clap::Args;
use swell_model::DurationMs;

use super::{parse_count, parse_time};

/// Flags of alerting.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AlertingArgs {
    /// A firing alert is sent again after so long; 1m unless given
    #[arg(long = "rules.alert.resend-delay", value_name = "TIME", value_parser = parse_time)]
    pub(crate) resend_delay: Option<DurationMs>,
    /// An outage up to so long is bridged: alerts go on where they were; 1h unless given
    #[arg(long = "rules.alert.for-outage-tolerance", value_name = "TIME", value_parser = parse_time)]
    pub(crate) outage_tolerance: Option<DurationMs>,
    /// After an outage a pending alert fires no sooner than so long after the start, and rules with a shorter `for` start over; 10m unless given
    #[arg(long = "rules.alert.for-grace-period", value_name = "TIME", value_parser = parse_time)]
    pub(crate) grace_period: Option<DurationMs>,
    /// Rules that run beside others of their group, with --enable-feature=concurrent-rule-eval; 4 unless given
    #[arg(long = "rules.max-concurrent-evals", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) rules_at_once: Option<usize>,
    /// Alerts that may wait for one Alertmanager, beyond which the oldest are dropped; 10000 unless given
    #[arg(long = "alertmanager.notification-queue-capacity", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) queue_capacity: Option<usize>,
    /// Alerts in one request to an Alertmanager; 256 unless given
    #[arg(long = "alertmanager.notification-batch-size", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) batch_size: Option<usize>,
}
