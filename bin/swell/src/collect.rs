//! The collectors' beat: each tick every source records into one pass, and the pass goes to its link.

use std::sync::Arc;

use swell_env::Clock;
use swell_model::{DurationMs, Pass, TimestampMs};
use swell_stream::DeltaSink;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Something that records into a pass. Runs on a blocking thread, one tick at a time.
pub(crate) type Source = Box<dyn FnMut(TimestampMs, &mut Pass) + Send>;

/// Collects from all sources each `interval` until shutdown; at the end all series are marked stale.
pub(crate) async fn run(
    mut sources: Vec<Source>,
    interval: DurationMs,
    link: Arc<dyn DeltaSink>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    let mut pass = Pass::new();
    let mut beat = tokio::time::interval(interval.to_std());
    // After a stall the next tick comes at its time: late samples are not made up for.
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = beat.tick() => {}
        }
        let (link, clock) = (link.clone(), clock.clone());
        let tick = tokio::task::spawn_blocking(move || {
            let now = clock.now();
            for source in &mut sources {
                source(now, &mut pass);
            }
            link.offer(pass.finish(now));
            (sources, pass)
        });
        match tick.await {
            Ok(returned) => (sources, pass) = returned,
            // Whoever runs us is to notice: without samples nothing is scaled.
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => {
                    error!(%cancelled, "a tick was not carried out; collecting ends");
                    return;
                }
            },
        }
    }
    // An empty tick: every series that was recorded last ends with a staleness marker.
    let now = clock.now();
    let last = tokio::task::spawn_blocking(move || link.offer(pass.finish(now)));
    if let Err(failure) = last.await {
        error!(%failure, "the last tick could not be handed on");
    }
}
