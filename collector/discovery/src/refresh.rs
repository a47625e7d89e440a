//! Sources that are asked again and again.

use std::time::Duration;

use tracing::warn;

use crate::discovery::Output;
use crate::group::TargetGroup;

/// A source that is asked takes no longer than this to answer, or has failed.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Any error of a source: its text and causes are all that a caller can use.
pub(crate) type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A source that can be asked for all its targets.
pub(crate) trait Ask: Send + 'static {
    /// Asks once.
    fn ask(&mut self) -> impl Future<Output = Result<Vec<TargetGroup>, SourceError>> + Send;
}

/// Asks a source each `interval`, for ever. What it told last stays when a question fails.
pub(crate) async fn run(mut source: impl Ask, interval: Duration, output: Output) {
    output.will_ask();
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let began = tokio::time::Instant::now();
        let told = tokio::time::timeout(ANSWER_DEADLINE, source.ask())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {ANSWER_DEADLINE:?}").into()));
        output.asked(began.elapsed());
        match told {
            Ok(groups) => output.tell(groups),
            Err(failure) => {
                output.failed();
                let error = swell_telemetry::chain(failure.as_ref());
                let (job, mechanism) = (output.job(), output.mechanism());
                warn!(job, mechanism, error, "a source of targets failed: its last targets stay");
            }
        }
    }
}
