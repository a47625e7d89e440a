use std::fs;

use prometheus::Registry;
use swell_decide::{Direction, ObjectName, Outlook, Reason};

use super::file::{CURRENT, FILE_BYTES_MAX, PREVIOUS};
use super::*;

fn record(name: &str, at_ms: i64) -> DecisionRecord {
    let object = |kind: &str| ObjectName {
        kind: kind.to_owned(),
        namespace: "demo".to_owned(),
        name: name.to_owned(),
    };
    DecisionRecord {
        id: 0,
        policy: object("HorizontalPodAutoscaler"),
        generation: 1,
        target: object("Deployment"),
        at_ms,
        trigger: "sample".to_owned(),
        from: Some(1),
        replicas: 4,
        direction: Direction::Out,
        reason: Reason::AsAsked,
        limited_by: None,
        signals: Vec::new(),
        winner: None,
        steps: Vec::new(),
        sentence: String::new(),
        brief: String::new(),
        next: Outlook::default(),
        times: DecisionTimes::default(),
        repeated: 0,
        last_ms: None,
    }
}

fn open(dir: &Path) -> (Journal, JournalWriter) {
    let metrics = Metrics::register(&Registry::new()).expect("fresh metrics");
    Journal::open(dir, metrics).expect("a journal")
}

/// Runs `work` on a journal and waits until the disk has everything.
async fn with_journal(dir: &Path, work: impl FnOnce(&Journal)) {
    let (journal, writer) = open(dir);
    let disk = tokio::spawn(writer.run(CancellationToken::new()));
    work(&journal);
    drop(journal);
    disk.await.expect("the writer ends");
}

fn all(journal: &Journal) -> Vec<DecisionRecord> {
    journal.query(&Query { limit: 10_000, ..Query::default() })
}

#[tokio::test]
async fn records_outlive_the_process_with_their_completed_times() {
    let dir = tempfile::tempdir().expect("a folder");
    with_journal(dir.path(), |journal| {
        let first = journal.append(record("web", 1));
        journal.append(record("api", 2));
        journal.set_times(first, |times| times.ready_ms = Some(9));
    })
    .await;
    let (journal, _writer) = open(dir.path());
    let found = all(&journal);
    let summary: Vec<_> =
        found.iter().map(|record| (record.id, record.at_ms, record.times.ready_ms)).collect();
    assert_eq!(summary, [(2, 2, None), (1, 1, Some(9))]);
    assert_eq!(journal.append(record("web", 3)), 3, "ids go on");
}

#[tokio::test]
async fn queries_narrow_by_object_time_and_number() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _writer) = open(dir.path());
    for at_ms in 1..=5 {
        journal.append(record(if at_ms % 2 == 0 { "api" } else { "web" }, at_ms));
    }
    let check = |query: Query, expected: &[i64]| {
        let times: Vec<i64> = journal.query(&query).iter().map(|record| record.at_ms).collect();
        assert_eq!(times, expected, "{query:?}");
    };
    let web = Query { name: Some("web".to_owned()), limit: 10, ..Query::default() };
    check(web.clone(), &[5, 3, 1]);
    check(Query { kind: Some("Deployment".to_owned()), ..web.clone() }, &[5, 3, 1]);
    check(Query { kind: Some("Service".to_owned()), ..web.clone() }, &[]);
    check(Query { namespace: Some("other".to_owned()), ..web.clone() }, &[]);
    check(Query { to: Some(TimestampMs(4)), limit: 1, ..web.clone() }, &[3]);
    check(
        Query { from: Some(TimestampMs(3)), to: Some(TimestampMs(4)), name: None, ..web },
        &[4, 3],
    );
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_writing_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    with_journal(dir.path(), |journal| {
        journal.append(record("web", 1));
        journal.append(record("web", 2));
    })
    .await;
    let file = dir.path().join(CURRENT);
    let whole = fs::read(&file).expect("the file");
    for cut in [1, 5, 100] {
        fs::write(&file, &whole[..whole.len() - cut]).expect("writable");
        with_journal(dir.path(), |journal| {
            assert_eq!(all(journal).len(), 1, "cut by {cut}");
            journal.append(record("web", 3));
        })
        .await;
        let (journal, _writer) = open(dir.path());
        assert_eq!(all(&journal).len(), 2, "cut by {cut}");
        fs::write(&file, &whole).expect("writable");
    }
}

#[tokio::test]
async fn damage_ends_the_file_and_sets_it_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    with_journal(dir.path(), |journal| {
        for at_ms in 1..=3 {
            journal.append(record("web", at_ms));
        }
    })
    .await;
    let file = dir.path().join(CURRENT);
    let mut bytes = fs::read(&file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&file, &bytes).expect("writable");
    with_journal(dir.path(), |journal| {
        assert_eq!(all(journal).len(), 1);
        journal.append(record("web", 4));
    })
    .await;
    assert_eq!(fs::read(dir.path().join(PREVIOUS)).expect("set aside"), bytes);
    let (journal, _writer) = open(dir.path());
    assert_eq!(all(&journal).len(), 2);
}

#[test]
fn a_foreign_file_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join(CURRENT), b"something else entirely").expect("writable");
    let metrics = Metrics::register(&Registry::new()).expect("fresh metrics");
    let error = Journal::open(dir.path(), metrics).expect_err("refused");
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains(CURRENT));
}

#[tokio::test]
async fn files_and_memory_stay_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, writer) = open(dir.path());
    let mut big = record("web", 0);
    big.sentence = "x".repeat(100_000);
    let disk = tokio::spawn(writer.run(CancellationToken::new()));
    for at_ms in 0..200 {
        big.at_ms = at_ms;
        journal.append(big.clone());
        // A queue that is full drops; give the disk its turn.
        while journal.waiting.capacity() < WAITING_MAX {
            tokio::task::yield_now().await;
        }
    }
    for at_ms in 0..(RING_LEN_MAX as i64 + 50) {
        journal.append(record("web", at_ms));
    }
    assert_eq!(all(&journal).len(), RING_LEN_MAX);
    drop(journal);
    disk.await.expect("the writer ends");
    for name in [CURRENT, PREVIOUS] {
        let length = fs::metadata(dir.path().join(name)).expect("the file").len();
        assert!(length <= FILE_BYTES_MAX, "{name}: {length}");
    }
}
