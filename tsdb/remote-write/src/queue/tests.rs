//! A queue's decisions, one after the other.

use std::sync::Arc;

use bytes::Bytes;
use swell_model::Labels;
use swell_wire::remote_write::Message;

use super::*;
use crate::point::{Series, Value};

const START: Place = Place { segment: 1, record: 0, sample: 0 };

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn place(record: u32) -> Place {
    Place { segment: 1, record, sample: 1 }
}

fn bounds() -> Bounds {
    let limits = Limits {
        capacity: 4,
        batch_max: 2,
        batch_deadline: Duration::from_secs(5),
        backoff_min: at(30),
        backoff_max: Duration::from_secs(5),
    };
    Bounds { limits, shards_min: 1, shards_max: 8 }
}

fn queue() -> State {
    State::new(bounds(), vec![START], 0)
}

/// Points of one series at these records.
fn points(records: std::ops::Range<u32>) -> Vec<(Place, Point)> {
    let labels = Labels::from_pairs([("__name__", "m")]);
    let series = Arc::new(Series::new(&labels, labels.clone(), Message::V2));
    let point = |record: u32| Point {
        series: Arc::clone(&series),
        timestamp_ms: i64::from(record),
        start_ms: 0,
        value: Value::Float(1.0),
        exemplars: None,
    };
    records.map(|record| (place(record), point(record))).collect()
}

/// A request of so many samples, the newest at this time.
fn request(samples: u64, newest_ms: i64) -> Encoded {
    Encoded {
        body: Bytes::from_static(b"x"),
        counts: Counts { samples, ..Counts::default() },
        newest_ms: Some(newest_ms),
        ..Encoded::default()
    }
}

#[test]
fn the_log_is_read_on_at_once_until_its_end_and_then_when_something_comes() {
    let mut queue = queue();
    assert!(queue.reads_now(at(0)));
    queue.read(points(1..2), place(1), false, at(0));
    assert!(queue.reads_now(at(0)), "there was more");
    queue.read(points(2..3), place(2), true, at(0));
    assert_eq!(queue.reading(), Some(Reading { at: at(100), by: Some(at(1000)) }));
    assert!(!queue.reads_now(at(5000)), "somebody has to say that there is more");
    queue.may_have_more();
    assert!(!queue.reads_now(at(99)) && queue.reads_now(at(100)));
    queue.read_failed(at(200));
    assert!(!queue.reads_now(at(1199)) && queue.reads_now(at(1200)));
}

#[test]
fn what_has_no_room_is_not_read() {
    let mut queue = queue();
    assert!(!queue.read(points(1..4), place(3), false, at(0)));
    assert!(queue.read(points(4..6), place(5), false, at(0)), "the last place is taken");
    assert_eq!((queue.reading(), queue.reads_now(at(0))), (None, false));
    assert!(!queue.read(Vec::new(), place(5), false, at(0)), "it was taken before");
    assert_eq!(queue.pending().samples, 5);
    assert_eq!(queue.starts(at(0)).len(), 1);
    assert!(queue.reading().is_some(), "two are under way");
}

#[test]
fn places_follow_what_is_settled() {
    let mut queue = queue();
    assert_eq!(queue.unsaved(), None);
    queue.read(points(1..3), place(9), true, at(0));
    assert_eq!(queue.unsaved(), None, "nothing is settled yet");
    assert_eq!((queue.newest_read_ms(), queue.newest_sent_ms()), (2, 0));
    assert_eq!(queue.starts(at(0)).len(), 1);
    queue.asked(at(10));
    queue.retry(0, None, at(10));
    assert_eq!((queue.unsaved(), queue.wake_at()), (None, Some(at(40))));
    assert_eq!(queue.starts(at(40))[0].attempt, 1);
    queue.settled(0, &request(2, 2), true, at(50));
    // Everything up to the end of what was offered.
    assert_eq!(queue.unsaved(), Some(vec![place(9)]));
    assert_eq!((queue.pending(), queue.newest_sent_ms()), (Counts::default(), 2));
    queue.written(vec![place(9)]);
    assert_eq!((queue.unsaved(), queue.settled_place()), (None, place(9)));
}

#[test]
fn a_queue_that_stops_sends_what_is_there_and_then_is_over() {
    let mut queue = queue();
    queue.read(points(1..2), place(1), true, at(0));
    assert!(queue.starts(at(0)).is_empty(), "it waits for others");
    assert!(!queue.is_over(at(100_000)));
    queue.stop(at(1000));
    assert!(queue.reads_now(at(1000)), "up to the end of the log");
    assert_eq!(queue.starts(at(1000)).len(), 1, "without waiting for others");
    queue.read(Vec::new(), place(1), true, at(1000));
    assert!(!queue.is_over(at(1000)), "something is under way");
    queue.settled(0, &request(1, 1), true, at(1100));
    assert!(queue.is_over(at(1100)));
}

#[test]
fn a_queue_that_stops_waits_for_no_receiver_that_fails_and_not_for_ever() {
    let stopped = || {
        let mut queue = queue();
        queue.read(points(1..2), place(1), true, at(0));
        queue.stop(at(0));
        assert_eq!(queue.starts(at(0)).len(), 1);
        queue
    };
    let mut failing = stopped();
    failing.retry(0, None, at(10));
    assert!(failing.is_over(at(10)));
    let slow = stopped();
    assert_eq!(slow.wake_at(), Some(at(5000)));
    assert!(!slow.is_over(at(4999)) && slow.is_over(at(5000)));
    let mut unreadable = queue();
    unreadable.stop(at(0));
    assert!(!unreadable.is_over(at(0)));
    unreadable.read_failed(at(0));
    assert!(unreadable.is_over(at(0)), "it does not wait for a log that cannot be read");
}

#[test]
fn shards_change_with_the_load_of_a_receiver_that_takes_something() {
    let mut queue = queue();
    // Requests take as long as there is time, and half of what is stored is sent.
    let busy = |queue: &mut State, is_taken: bool, now: Duration| {
        queue.read(points(1..3), place(2), false, now);
        queue.starts(now);
        for _ in 0..10 {
            queue.asked(Duration::from_secs(1));
        }
        if is_taken {
            queue.settled(0, &request(1000, 1), true, now);
        }
    };
    busy(&mut queue, true, at(0));
    let idle = queue.consider_shards(2000, Some(1), Duration::from_secs(60));
    assert!(idle.exact > 1.3, "{idle:?}");
    assert_eq!(idle.change, None, "it took nothing for long");
    let mut queue = self::queue();
    busy(&mut queue, true, at(0));
    let found = queue.consider_shards(2000, Some(1), at(5000));
    assert_eq!(found.change.map(|(from, _)| from), Some(1), "{found:?}");
    let to = found.change.expect("it changes").1;
    assert_eq!(queue.reading(), None, "not before the shards are drained");
    assert_eq!(queue.reshard(), Some(to));
    assert_eq!((queue.shard_count(), queue.reshard()), (to, None));
    assert!(queue.reading().is_some());
}
