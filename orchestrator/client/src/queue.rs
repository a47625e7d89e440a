//! The keys that need a look: each at most once in the queue, never with two workers at once, with
//! delays and a back-off per key.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long to wait after a number of failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// Wait after the first failure; doubled by each further one.
    pub base: Duration,
    /// Never wait longer.
    pub max: Duration,
}

impl BackOff {
    /// Kubernetes' default for controllers, with a lower ceiling: 5 ms to 60 s.
    pub const CONTROLLER: Self =
        Self { base: Duration::from_millis(5), max: Duration::from_secs(60) };
    /// For a server that went away: 200 ms to 10 s.
    pub const RECONNECT: Self =
        Self { base: Duration::from_millis(200), max: Duration::from_secs(10) };
    /// How long a watch lasts before it is begun anew: ten minutes, less by up to a third.
    pub(crate) const WATCH: Self =
        Self { base: Duration::from_secs(600), max: Duration::from_secs(600) };

    /// Wait after `failure_count` failures; zero after none.
    #[must_use]
    pub fn delay(&self, failure_count: u32) -> Duration {
        let Some(doublings) = failure_count.checked_sub(1) else { return Duration::ZERO };
        self.base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(self.max)
    }

    /// The same, shortened by up to a third, so that those who failed together do not return together.
    #[must_use]
    pub fn delay_with_jitter(&self, failure_count: u32) -> Duration {
        let whole = self.delay(failure_count);
        let thousandth =
            u32::try_from(RandomState::new().hash_one(failure_count) % 334).unwrap_or(0);
        whole - whole * thousandth / 1000
    }
}

/// A queue of keys for the workers of one controller. Clones share the queue.
///
/// Invariants: a key waits at most once; a key that is added while a worker has it is handed out again
/// after that worker is done, not before. The length is bounded by the number of distinct keys.
#[derive(Debug)]
pub struct WorkQueue<Key> {
    shared: Arc<Shared<Key>>,
}

impl<Key> Clone for WorkQueue<Key> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<Key> {
    back_off: BackOff,
    /// Guards all of the queue; held for a few map operations, never across an await.
    state: Mutex<State<Key>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<Key> {
    ready: VecDeque<Key>,
    waiting: HashSet<Key>,
    running: HashSet<Key>,
    again: HashSet<Key>,
    /// Due time and order of arrival; the keys lie in `delayed_keys`, as they need not be ordered.
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    delayed_keys: HashMap<u64, Key>,
    due: HashMap<Key, (Instant, u64)>,
    next_delayed: u64,
    failures: HashMap<Key, u32>,
    closed: bool,
}

impl<Key: Clone + Eq + Hash> WorkQueue<Key> {
    /// An empty queue.
    #[must_use]
    pub fn new(back_off: BackOff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            running: HashSet::new(),
            again: HashSet::new(),
            delayed: BinaryHeap::new(),
            delayed_keys: HashMap::new(),
            due: HashMap::new(),
            next_delayed: 0,
            failures: HashMap::new(),
            closed: false,
        };
        let shared = Shared { back_off, state: Mutex::new(state), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Asks for a look at `key` as soon as a worker is free.
    pub fn add(&self, key: Key) {
        let mut state = self.shared.state.lock();
        state.add(key);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Asks for a look at `key` after `delay`; an earlier wish for the same key stands.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let mut state = self.shared.state.lock();
        if delay.is_zero() {
            state.add(key);
        } else {
            state.add_at(key, Instant::now() + delay);
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Waits for a key that is due; `None` once the queue is closed.
    pub async fn next(&self) -> Option<WorkItem<Key>> {
        loop {
            let changed = self.shared.changed.notified();
            let next_due = {
                let mut state = self.shared.state.lock();
                if state.closed {
                    return None;
                }
                state.move_due(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.waiting.remove(&key);
                    state.running.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.shared.changed.notify_one();
                    }
                    return Some(WorkItem { key: Some(key), queue: self.clone() });
                }
                state.delayed.peek().map(|Reverse((due, _))| *due)
            };
            match next_due {
                Some(due) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Number of keys that wait for a worker now, without the delayed ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().ready.len()
    }

    /// Whether no key waits for a worker now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands out nothing any more and lets all workers end.
    pub fn close(&self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_waiters();
        self.shared.changed.notify_one();
    }

    fn settle(&self, key: Key, outcome: Outcome) {
        let mut state = self.shared.state.lock();
        state.running.remove(&key);
        let added_meanwhile = state.again.remove(&key);
        let delay = match outcome {
            Outcome::Done => {
                state.failures.remove(&key);
                None
            }
            Outcome::After(delay) => {
                state.failures.remove(&key);
                Some(delay)
            }
            Outcome::Retry => {
                let failures = state.failures.entry(key.clone()).or_insert(0);
                *failures = failures.saturating_add(1);
                Some(self.shared.back_off.delay_with_jitter(*failures))
            }
        };
        if added_meanwhile {
            state.add(key);
        } else if let Some(delay) = delay {
            state.add_at(key, Instant::now() + delay);
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

enum Outcome {
    Done,
    After(Duration),
    Retry,
}

impl<Key: Clone + Eq + Hash> State<Key> {
    fn add(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: Key, at: Instant) {
        if let Some((due, number)) = self.due.get(&key).copied() {
            if due <= at {
                return;
            }
            self.delayed_keys.remove(&number);
        }
        let number = self.next_delayed;
        self.next_delayed += 1;
        self.delayed.push(Reverse((at, number)));
        self.delayed_keys.insert(number, key.clone());
        self.due.insert(key, (at, number));
    }

    fn move_due(&mut self, now: Instant) {
        while let Some(Reverse((due, number))) = self.delayed.peek().copied() {
            let superseded = !self.delayed_keys.contains_key(&number);
            if due > now && !superseded {
                return;
            }
            self.delayed.pop();
            if let Some(key) = self.delayed_keys.remove(&number) {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }
}

/// A key in the hands of one worker. Dropped without a word it counts as failed, as after a panic.
#[derive(Debug)]
pub struct WorkItem<Key: Clone + Eq + Hash> {
    key: Option<Key>,
    queue: WorkQueue<Key>,
}

impl<Key: Clone + Eq + Hash> WorkItem<Key> {
    /// The key to look at.
    ///
    /// # Panics
    /// Never: the key leaves only with the item.
    #[must_use]
    pub const fn key(&self) -> &Key {
        self.key.as_ref().expect("the key leaves only with the item")
    }

    /// Nothing more to do until the key is added again; forgets its failures.
    pub fn done(self) {
        self.settle(Outcome::Done);
    }

    /// Look again after `delay`; forgets its failures.
    pub fn requeue_after(self, delay: Duration) {
        self.settle(Outcome::After(delay));
    }

    /// It failed: look again after a wait that grows with each failure in a row.
    pub fn retry(self) {
        self.settle(Outcome::Retry);
    }

    fn settle(mut self, outcome: Outcome) {
        if let Some(key) = self.key.take() {
            self.queue.settle(key, outcome);
        }
    }
}

impl<Key: Clone + Eq + Hash> Drop for WorkItem<Key> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.queue.settle(key, Outcome::Retry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_OFF: BackOff =
        BackOff { base: Duration::from_millis(100), max: Duration::from_secs(1) };

    #[test]
    fn back_off_doubles_up_to_its_ceiling() {
        for (failures, expected_ms) in [(0, 0), (1, 100), (2, 200), (4, 800), (5, 1000), (99, 1000)]
        {
            assert_eq!(BACK_OFF.delay(failures), Duration::from_millis(expected_ms), "{failures}");
            let jittered = BACK_OFF.delay_with_jitter(failures);
            assert!(jittered <= BACK_OFF.delay(failures));
            assert!(jittered >= BACK_OFF.delay(failures) * 2 / 3, "{jittered:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_never_runs_twice_at_once() {
        let queue = WorkQueue::new(BACK_OFF);
        queue.add("a");
        queue.add("a");
        queue.add("b");
        let first = queue.next().await.expect("open");
        assert_eq!(*first.key(), "a");
        queue.add("a");
        let second = queue.next().await.expect("open");
        assert_eq!(*second.key(), "b");
        second.done();
        assert!(queue.is_empty(), "a is with a worker and must not be handed out");
        first.done();
        let again = queue.next().await.expect("open");
        assert_eq!(*again.key(), "a");
        again.done();
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn delays_hold_and_the_earliest_wins() {
        let queue = WorkQueue::new(BACK_OFF);
        let start = Instant::now();
        queue.add_after("late", Duration::from_secs(9));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(2));
        queue.add_after("a", Duration::from_secs(7));
        let item = queue.next().await.expect("open");
        assert_eq!((*item.key(), start.elapsed().as_secs()), ("a", 2));
        item.done();
        let item = queue.next().await.expect("open");
        assert_eq!((*item.key(), start.elapsed().as_secs()), ("late", 9));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_and_a_dropped_item_is_one() {
        let queue = WorkQueue::new(BACK_OFF);
        queue.add("a");
        drop(queue.next().await.expect("open"));
        let before = Instant::now();
        let item = queue.next().await.expect("open");
        let first = before.elapsed();
        assert!(
            first > Duration::from_millis(60) && first <= Duration::from_millis(101),
            "{first:?}"
        );
        item.retry();
        let before = Instant::now();
        let item = queue.next().await.expect("open");
        let second = before.elapsed();
        assert!(
            second > Duration::from_millis(130) && second <= Duration::from_millis(201),
            "{second:?}"
        );
        item.done();
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_every_worker() {
        let queue = WorkQueue::<u32>::new(BACK_OFF);
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await.is_none() })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.close();
        for worker in workers {
            assert!(worker.await.expect("no panic"));
        }
    }
}
