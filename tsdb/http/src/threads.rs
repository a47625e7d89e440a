//! Threads of queries. A query runs on a thread of its own; cores that no query uses help those that have much to do,
//! never more at work than there are cores, over all queries.
//!
//! All of them are nicer than the process: where queries want more than there is, what stores samples and what tells of
//! health get what they need first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use swell_promql::Workers;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tracing::debug;

/// By so much queries are nicer: of a core that both want they get about a tenth, by the kernel's weights.
const NICENESS: i32 = 10;

/// The threads that queries run on. They are not those of other blocking work, since a thread that was nice once cannot
/// be given its priority back.
#[derive(Debug)]
pub(crate) struct QueryPool(Option<Runtime>);

impl QueryPool {
    /// A pool without threads; up to `threads_max` are made as they are needed.
    pub(crate) fn new(threads_max: usize) -> Self {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(threads_max.max(1))
            .thread_name("query")
            .on_thread_start(be_nice)
            .build()
            .expect("a runtime without timers and sockets needs nothing of the system");
        Self(Some(runtime))
    }

    /// Runs work on one of the threads.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.as_ref().expect("it is there until it is dropped").spawn_blocking(work)
    }
}

impl Drop for QueryPool {
    fn drop(&mut self) {
        // Queries that nobody waits for were told to stop, and are not waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes this thread nicer, and with it those that it starts.
fn be_nice() {
    let before = rustix::process::getpriority_process(None);
    let nicer =
        before.and_then(|before| rustix::process::setpriority_process(None, before + NICENESS));
    if let Err(error) = nicer {
        debug!(%error, "a thread of queries has the priority of the process");
    }
}

/// Cores that no query uses.
#[derive(Debug)]
pub(crate) struct Cores {
    free: AtomicUsize,
}

impl Cores {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(count) })
    }

    /// Takes up to `wanted` cores; gives how many.
    fn take(&self, wanted: usize) -> usize {
        let mut taken = 0;
        let less = |free: usize| {
            taken = free.min(wanted);
            Some(free - taken)
        };
        // The function always gives a number, so this cannot fail.
        let _ = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken
    }

    fn give_back(&self, count: usize) {
        self.free.fetch_add(count, Ordering::Relaxed);
    }

    /// For a query that begins: it has its thread whether or not a core is free.
    pub(crate) fn query(self: &Arc<Self>) -> QueryThreads {
        QueryThreads { own: Lent { count: self.take(1), cores: Arc::clone(self) } }
    }
}

/// Cores in use, given back in the end.
#[derive(Debug)]
struct Lent {
    cores: Arc<Cores>,
    count: usize,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.cores.give_back(self.count);
    }
}

/// The threads of one query.
#[derive(Debug)]
pub(crate) struct QueryThreads {
    own: Lent,
}

impl Workers for QueryThreads {
    fn width(&self) -> usize {
        1 + self.own.cores.free.load(Ordering::Relaxed)
    }

    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        let cores = &self.own.cores;
        let wanted = count.saturating_sub(1);
        let helpers = Lent { count: cores.take(wanted), cores: Arc::clone(cores) };
        let next = AtomicUsize::new(0);
        let in_turn = || {
            loop {
                let idx = next.fetch_add(1, Ordering::Relaxed);
                if idx >= count {
                    break;
                }
                work(idx);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..helpers.count {
                // Without a thread more, those that are there do the work.
                let _spawned = std::thread::Builder::new().spawn_scoped(scope, in_turn);
            }
            in_turn();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn queries_and_their_helpers_are_nicer_than_the_process() {
        let niceness = || rustix::process::getpriority_process(None).expect("it can be asked");
        let before = niceness();
        let pool = QueryPool::new(1);
        let found = Arc::new(Mutex::new(HashSet::new()));
        let (seen, cores) = (Arc::clone(&found), Cores::new(4));
        let done = pool.spawn(move || {
            let threads = cores.query();
            let started = std::sync::Barrier::new(3);
            threads.each(3, &|_| {
                started.wait();
                let thread = std::thread::current().id();
                seen.lock().expect("no panics").insert((thread, niceness()));
            });
        });
        Builder::new_current_thread().build().expect("a runtime").block_on(done).expect("done");
        let found = found.lock().expect("no panics").clone();
        assert_eq!(found.len(), 3, "{found:?}");
        let expected = (before + NICENESS).min(19);
        assert!(found.iter().all(|(_, niceness)| *niceness == expected), "{found:?}");
        assert_eq!(niceness(), before, "this thread is as it was");
    }

    #[test]
    fn each_piece_is_done_once_and_cores_come_back() {
        let cores = Cores::new(4);
        let (one, other) = (cores.query(), cores.query());
        assert_eq!((one.width(), other.width()), (3, 3), "two of four cores are free");
        let done = Mutex::new(Vec::new());
        one.each(100, &|idx| {
            done.lock().expect("no panics").push((idx, std::thread::current().id()));
            if idx == 0 {
                assert_eq!(other.width(), 1, "helpers are lent");
            }
        });
        let done = done.into_inner().expect("no panics");
        let numbers: HashSet<usize> = done.iter().map(|(idx, _)| *idx).collect();
        assert_eq!((done.len(), numbers.len()), (100, 100));
        assert!(done.iter().map(|(_, thread)| *thread).collect::<HashSet<_>>().len() <= 3);
        drop((one, other));
        assert_eq!(cores.free.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn without_a_free_core_a_query_is_alone() {
        let cores = Cores::new(1);
        let (first, second) = (cores.query(), cores.query());
        assert_eq!((first.width(), second.width()), (1, 1));
        let caller = std::thread::current().id();
        let elsewhere = AtomicBool::new(false);
        second.each(5, &|_| {
            elsewhere.fetch_or(std::thread::current().id() != caller, Ordering::Relaxed);
        });
        assert!(!elsewhere.into_inner());
        drop(second);
        assert_eq!(cores.free.load(Ordering::Relaxed), 0, "it had none to give back");
        drop(first);
        assert_eq!(cores.free.load(Ordering::Relaxed), 1);
    }
}
