//! Pages that are made of the answers to several queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{Extensions, StatusCode};
use parking_lot::Mutex;
use swell_engine::Db;
use swell_model::{
    DurationMs, LabelsIter, Matcher, SelectError, SelectHints, SeriesIter, SeriesSource, TimeRange,
    TimestampMs,
};
use swell_promql::QueryValue;
use swell_telemetry::Registry;
use swell_tsdb_http::{ActiveQueries, Api, ApiConfig, ApiDeps, Lifecycle};

use super::lab::{Lab, NOW_S, config};

const AT: TimestampMs = TimestampMs(NOW_S * 1000);

/// The storage, which remembers by which flag its last reader says that it goes.
struct Leaving {
    db: Arc<Db>,
    told: Arc<Mutex<Option<Arc<AtomicBool>>>>,
}

impl SeriesSource for Leaving {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        SeriesSource::select(&*self.db, matchers, hints)
    }

    fn until_cancelled(&self, cancelled: &Arc<AtomicBool>) -> Option<Arc<dyn SeriesSource>> {
        *self.told.lock() = Some(Arc::clone(cancelled));
        None
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        SeriesSource::label_names(&*self.db, matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        SeriesSource::label_values(&*self.db, name, matchers, range)
    }
}

#[tokio::test]
async fn what_is_read_hears_of_the_end_of_a_page() {
    let lab = Lab::new();
    let told = Arc::<Mutex<Option<Arc<AtomicBool>>>>::default();
    let api = Api::new(
        config(),
        ApiDeps {
            db: lab.db.clone(),
            source: Arc::new(Leaving { db: lab.db.clone(), told: Arc::clone(&told) }),
            own: lab.db.clone(),
            targets: lab.targets.clone(),
            clock: lab.clock.clone(),
            readiness: lab.readiness.clone(),
            registry: Registry::new(),
            in_force: lab.in_force.clone(),
            notices: lab.notices.clone(),
            lifecycle: Lifecycle::new(false).0,
            active: ActiveQueries::in_memory(lab.clock.clone()),
        },
    );
    let api = api.expect("a registry of its own");
    let made = api.make_page(&Extensions::new(), |queries| queries.instant("sum(up)", AT)).await;
    let value = made.expect("made").expect("evaluated");
    let QueryValue::Vector(samples) = value else { panic!("a vector") };
    assert_eq!(samples.len(), 1);
    let flag = told.lock().clone().expect("the source was asked for one reader");
    assert!(flag.load(Ordering::Relaxed), "nobody waits for the page any more");
}

#[tokio::test]
async fn a_page_that_takes_too_long_is_given_up_and_asks_nothing_more() {
    let lab = Lab::with(ApiConfig { timeout: DurationMs(1), ..config() });
    let (tell, told) = tokio::sync::oneshot::channel();
    let request = Extensions::new();
    let made = lab.api.make_page(&request, move |queries| {
        // It asks until it is told to end.
        let why = loop {
            if let Err(why) = queries.instant("up", AT) {
                break why;
            }
        };
        tell.send(why)
    });
    let refusal = made.await.expect_err("its time is up");
    assert_eq!(refusal.code, StatusCode::SERVICE_UNAVAILABLE, "{refusal:?}");
    assert!(refusal.message.contains("timed out"), "{refusal:?}");
    let why = told.await.expect("the page ended");
    assert!(why.contains("nobody waits") || why.contains("canceled"), "{why}");
}
