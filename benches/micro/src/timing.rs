//! CPU time of one piece of work, for examples that measure a whole run rather than a kernel: on a machine with other
//! work it says more than wall time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Times pieces of work of this thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// CPU time of all threads so far.
#[must_use]
pub fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

impl Timer {
    /// Does the work and gives the CPU time it took.
    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> (T, Duration) {
        let start = thread_cpu();
        let outcome = work();
        (outcome, thread_cpu().saturating_sub(start))
    }

    /// Does the work and prints what it took for each of `count` samples.
    pub fn each<T>(&self, what: &str, count: usize, work: impl FnOnce() -> T) -> T {
        let (outcome, took) = self.measure(work);
        let nanos = ratio(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), count);
        println!("{what}: {nanos:.2} ns per sample, {took:.1?} in all");
        outcome
    }
}

/// Of an amount, what falls on each.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn ratio(amount: u64, count: usize) -> f64 {
    amount as f64 / count as f64
}

/// The duration below which `share` of them are; they become sorted.
///
/// # Panics
/// Without durations.
pub fn quantile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a position in a short list"
    )]
    let position = ((durations.len() as f64 * share) as usize).min(durations.len() - 1);
    durations[position]
}
