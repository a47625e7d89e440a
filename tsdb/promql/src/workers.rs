//! Work side by side, without naming a thread here: who calls the evaluation brings the threads along.

use std::fmt;

/// Does independent pieces of one query's work, side by side where threads are free.
pub trait Workers: Send + Sync + fmt::Debug {
    /// Most pieces done at a time, the caller's own thread included; 1 says that there is no use in cutting work.
    fn width(&self) -> usize;

    /// Fewer series than this are not worth a piece of their own: a thread costs more than it gives (benches/README.md).
    fn series_min(&self) -> usize {
        512
    }

    /// Calls `work` once with each number below `count`, in any order and on any threads, and returns when all calls
    /// have returned. A panic of `work` goes on in the caller.
    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync));
}

/// The caller's thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Workers for Alone {
    fn width(&self) -> usize {
        1
    }

    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(work);
    }
}
