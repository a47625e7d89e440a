use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    capacity: 10,
    batch_max: 3,
    batch_deadline: Duration::from_secs(5),
    backoff_min: Duration::from_millis(30),
    backoff_max: Duration::from_millis(100),
};

fn at(record: u32) -> Place {
    Place { segment: 1, record, sample: 1 }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn one_shard() -> Shards<u32> {
    Shards::new(LIMITS, &[Place::default()])
}

#[test]
fn a_batch_leaves_when_it_is_full_or_has_waited() {
    let mut shards = one_shard();
    assert!(shards.starts(seconds(100)).is_empty());
    assert_eq!(shards.wake_at(), None);
    for nr in 1..=2 {
        assert!(shards.offer(0, at(nr), nr, seconds(1)));
    }
    assert!(shards.starts(seconds(5)).is_empty());
    assert_eq!(shards.wake_at(), Some(seconds(6)));
    let starts = shards.starts(seconds(6));
    assert_eq!((&*starts[0].batch, starts[0].attempt), (&vec![1, 2], 0));
    // One at a time, full or not.
    (3..=9).for_each(|nr| assert!(shards.offer(0, at(nr), nr, seconds(7))));
    assert!(shards.starts(seconds(100)).is_empty());
    shards.answered(0, Outcome::Settled, seconds(8));
    assert_eq!(*shards.starts(seconds(8))[0].batch, [3, 4, 5]);
    shards.answered(0, Outcome::Settled, seconds(8));
    assert_eq!(*shards.starts(seconds(8))[0].batch, [6, 7, 8]);
    shards.answered(0, Outcome::Settled, seconds(9));
    assert!(shards.starts(seconds(9)).is_empty());
    shards.flush(true);
    assert_eq!(*shards.starts(seconds(9))[0].batch, [9]);
}

#[test]
fn failures_wait_longer_and_longer_unless_the_receiver_says_how_long() {
    let ms = Duration::from_millis;
    let mut shards = one_shard();
    shards.offer(0, at(1), 1, ms(0));
    shards.flush(true);
    assert_eq!(shards.starts(ms(0)).len(), 1);
    let mut now = ms(0);
    for (nr, wait) in (1..).zip([30, 60, 100, 100]) {
        shards.answered(0, Outcome::Retry(None), now);
        assert!(shards.has_failed() && shards.starts(now).is_empty());
        now += ms(wait);
        assert_eq!(shards.wake_at(), Some(now));
        let starts = shards.starts(now);
        assert_eq!((&*starts[0].batch, starts[0].attempt), (&vec![1], nr));
    }
    shards.answered(0, Outcome::Retry(Some(seconds(7))), now);
    assert_eq!(shards.wake_at(), Some(now + seconds(7)));
    assert_eq!(shards.starts(now + seconds(7)).len(), 1);
    shards.answered(0, Outcome::Settled, now);
    assert!(shards.is_drained() && !shards.has_failed());
}

#[test]
fn a_full_shard_stops_the_reading() {
    let mut shards = Shards::new(LIMITS, &[Place::default(); 2]);
    (1..=9).for_each(|nr| assert!(shards.offer(0, at(nr), nr, seconds(0))));
    assert!(shards.has_room());
    shards.offer(0, at(10), 10, seconds(0));
    assert!(!shards.has_room());
    shards.starts(seconds(0));
    assert!(shards.has_room(), "a batch has left");
}

/// A step of a run. Times rise by themselves.
#[derive(Clone, Debug)]
enum Step {
    /// A point of that series.
    Offer(u8),
    /// Looks what is due.
    Start,
    /// The so-many-th of what is under way ends, well or not.
    Answer(usize, bool),
    /// Flushes, and goes on with so many shards once drained.
    Reshard(usize),
    /// The process dies and another goes on at the places that were written down, or before.
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0u8..12).prop_map(Step::Offer),
        5 => Just(Step::Start),
        5 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(nr, ok)| Step::Answer(nr, ok)),
        1 => (1usize..6).prop_map(Step::Reshard),
        1 => Just(Step::Crash),
    ]
}

/// The receiver, and the log that is read.
struct World {
    shards: Shards<(u8, u32)>,
    /// The log: series and number of each point.
    log: Vec<u8>,
    /// Points of the log that were offered.
    offered: u32,
    under_way: Vec<Start<(u8, u32)>>,
    received: BTreeMap<u8, Vec<u32>>,
    now: Duration,
}

impl World {
    fn place(nr: u32) -> Place {
        // Three points a record.
        Place { segment: u64::from(nr / 30), record: nr % 30 / 3, sample: nr % 3 + 1 }
    }

    fn offered_upto(&self) -> Place {
        self.offered.checked_sub(1).map_or(Place::default(), Self::place)
    }

    fn offer_next(&mut self) {
        let Some(series) = self.log.get(self.offered as usize).copied() else { return };
        let nr = self.offered;
        self.offered += 1;
        self.shards.offer(u32::from(series) * 7919, Self::place(nr), (series, nr), self.now);
    }

    fn start(&mut self) {
        for start in self.shards.starts(self.now) {
            assert!(self.under_way.iter().all(|it| it.shard != start.shard), "one a shard");
            assert!((1..=LIMITS.batch_max).contains(&start.batch.len()));
            self.under_way.push(start);
        }
    }

    fn answer(&mut self, nr: usize, is_ok: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let start = self.under_way.swap_remove(nr % self.under_way.len());
        if is_ok {
            for (series, nr) in &*start.batch {
                self.received.entry(*series).or_default().push(*nr);
            }
        }
        let outcome = if is_ok { Outcome::Settled } else { Outcome::Retry(None) };
        self.shards.answered(start.shard, outcome, self.now);
    }

    fn drain(&mut self) {
        self.shards.flush(true);
        for _ in 0..10_000 {
            if self.shards.is_drained() {
                break;
            }
            self.now += seconds(1);
            self.start();
            self.answer(0, true);
        }
        assert!(self.shards.is_drained(), "all is sent in the end");
        self.shards.flush(false);
    }

    /// What was settled does not come again: only what was under way is lost with the process.
    fn crash(&mut self) {
        let places = self.shards.places(self.offered_upto());
        self.under_way.clear();
        self.shards = Shards::new(LIMITS, &places);
        let first = *places.iter().min().expect("a shard");
        let next = (0..self.offered).find(|nr| Self::place(*nr) > first);
        self.offered = next.unwrap_or(self.offered);
    }
}

proptest! {
    #[test]
    fn every_point_arrives_once_and_in_order(steps in prop::collection::vec(any_step(), 1..200)) {
        let mut world = World {
            shards: Shards::new(LIMITS, &[Place::default(); 2]),
            log: Vec::new(),
            offered: 0,
            under_way: Vec::new(),
            received: BTreeMap::new(),
            now: Duration::ZERO,
        };
        for step in steps {
            world.now += Duration::from_millis(700);
            match step {
                Step::Offer(series) => {
                    world.log.push(series);
                    world.offer_next();
                }
                Step::Start => world.start(),
                Step::Answer(nr, is_ok) => world.answer(nr, is_ok),
                Step::Reshard(count) => {
                    world.drain();
                    let upto = world.offered_upto();
                    if world.shards.are_level(upto) {
                        world.shards.reshard(count, upto);
                    }
                }
                Step::Crash => world.crash(),
            }
        }
        while (world.offered as usize) < world.log.len() {
            world.offer_next();
        }
        world.drain();
        for series in 0..12 {
            let expected: Vec<u32> = (0..).zip(&world.log).filter(|it| *it.1 == series).map(|it| it.0).collect();
            prop_assert_eq!(world.received.get(&series).cloned().unwrap_or_default(), expected);
        }
        let places = world.shards.places(world.offered_upto());
        prop_assert!(places.iter().all(|place| *place == places[0]), "nothing is left to be done");
    }
}
