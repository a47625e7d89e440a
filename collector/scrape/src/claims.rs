//! Series that several targets give: their values would take turns under one name, so it is counted and told.
//!
//! A series with all labels of its target can only be given by another one that has the same labels, and then `up` is given by
//! both as well. So `up` is claimed for each target, and beside it only the series that lack a label of their target, since it told
//! another value (`honor_labels`) or a rule took it away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use prometheus::IntGauge;
use rustc_hash::{FxHashMap, FxHashSet};
use swell_model::{Labels, SeriesRef};
use tracing::warn;

/// Who gives which series.
#[derive(Debug)]
pub(crate) struct Claims {
    holders: Mutex<FxHashMap<SeriesRef, Holders>>,
    /// Series with several holders.
    shared: IntGauge,
}

#[derive(Debug)]
enum Holders {
    One(Arc<Claimant>),
    Several(Vec<Arc<Claimant>>),
}

/// A target, as others see it.
#[derive(Debug)]
pub(crate) struct Claimant {
    url: String,
    /// Series of it that others give as well.
    shared_count: AtomicUsize,
    was_told: AtomicBool,
}

impl Claimant {
    /// How many of its series others give as well; of targets with equal labels `up` stands for all.
    pub(crate) fn shared_count(&self) -> usize {
        self.shared_count.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.shared_count.fetch_add(1, Ordering::Relaxed);
    }

    fn subtract(&self) {
        self.shared_count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Claims {
    pub(crate) fn new(shared: IntGauge) -> Self {
        Self { holders: Mutex::default(), shared }
    }

    fn claim(&self, series: SeriesRef, by: &Arc<Claimant>) -> Option<Arc<Claimant>> {
        let mut holders = self.holders.lock();
        let Some(known) = holders.get_mut(&series) else {
            holders.insert(series, Holders::One(Arc::clone(by)));
            return None;
        };
        let other = match known {
            Holders::One(other) => {
                let other = Arc::clone(other);
                other.add();
                self.shared.inc();
                *known = Holders::Several(vec![Arc::clone(&other), Arc::clone(by)]);
                other
            }
            Holders::Several(all) => {
                all.push(Arc::clone(by));
                Arc::clone(&all[0])
            }
        };
        by.add();
        Some(other)
    }

    fn release(&self, series: SeriesRef, by: &Arc<Claimant>) {
        let mut holders = self.holders.lock();
        let Some(known) = holders.get_mut(&series) else { return };
        let Holders::Several(all) = known else {
            holders.remove(&series);
            return;
        };
        all.retain(|holder| !Arc::ptr_eq(holder, by));
        by.subtract();
        if let [last] = all.as_slice() {
            last.subtract();
            self.shared.dec();
            *known = Holders::One(Arc::clone(last));
        }
    }
}

/// What one target claims; given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Claimed {
    claims: Arc<Claims>,
    me: Arc<Claimant>,
    series: FxHashSet<SeriesRef>,
    up: Option<SeriesRef>,
}

impl Claimed {
    /// Nothing yet, of the target that is scraped there.
    pub(crate) fn new(claims: &Arc<Claims>, url: String) -> Self {
        let me =
            Claimant { url, shared_count: AtomicUsize::new(0), was_told: AtomicBool::new(false) };
        Self {
            claims: Arc::clone(claims),
            me: Arc::new(me),
            series: FxHashSet::default(),
            up: None,
        }
    }

    /// Of a target that has no others beside it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn alone() -> Self {
        let gauge = IntGauge::new("shared", "Not registered.").expect("a good name");
        Self::new(&Arc::new(Claims::new(gauge)), String::new())
    }

    pub(crate) const fn claimant(&self) -> &Arc<Claimant> {
        &self.me
    }

    /// Claims a series with these labels when it lacks one of the target's.
    pub(crate) fn claim(&mut self, series: SeriesRef, labels: &Labels, target: &Labels) {
        let is_ours = target.iter().all(|(name, value)| labels.get(name) == Some(value));
        if !is_ours && self.series.insert(series) {
            self.hold(series, labels);
        }
    }

    /// Claims the series that tells whether the target is up.
    pub(crate) fn claim_up(&mut self, series: Option<SeriesRef>, target: &Labels) {
        if self.up == series {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.up, series) {
            self.claims.release(before, &self.me);
        }
        if let Some(series) = series {
            self.hold(series, target);
        }
    }

    fn hold(&self, series: SeriesRef, labels: &Labels) {
        if let Some(other) = self.claims.claim(series, &self.me)
            && !self.me.was_told.swap(true, Ordering::Relaxed)
        {
            let (url, other) = (&self.me.url, &other.url);
            warn!(%labels, url, other, "two targets give the same series: its values take turns");
        }
    }

    /// The target does not give the series any more.
    pub(crate) fn release(&mut self, series: SeriesRef) {
        if self.series.remove(&series) {
            self.claims.release(series, &self.me);
        }
    }

    /// The target gives none any more, but still tells whether it is up.
    pub(crate) fn release_all(&mut self) {
        for series in self.series.drain() {
            self.claims.release(series, &self.me);
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.release_all();
        if let Some(up) = self.up {
            self.claims.release(up, &self.me);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_give_is_counted_for_each_and_no_longer_once_one_is_left() {
        let gauge = IntGauge::new("shared", "Shared.").expect("a gauge");
        let claims = Arc::new(Claims::new(gauge.clone()));
        let target = Labels::from_pairs([("job", "j")]);
        let other = Labels::from_pairs([("__name__", "a"), ("job", "other")]);
        let mut all: Vec<Claimed> =
            (0..3).map(|nr| Claimed::new(&claims, format!("http://{nr}"))).collect();
        let counts = |all: &[Claimed]| -> Vec<usize> {
            all.iter().map(|it| it.claimant().shared_count()).collect()
        };
        for claimed in &mut all {
            claimed.claim(SeriesRef(1), &other, &target);
            claimed.claim(SeriesRef(1), &other, &target);
        }
        all[0].claim(SeriesRef(2), &other, &target);
        let mine = Labels::from_pairs([("__name__", "a"), ("job", "j")]);
        all.iter_mut().for_each(|claimed| claimed.claim(SeriesRef(3), &mine, &target));
        assert_eq!((counts(&all), gauge.get()), (vec![1, 1, 1], 1));
        all[1].claim_up(Some(SeriesRef(9)), &target);
        all[2].claim_up(Some(SeriesRef(9)), &target);
        assert_eq!((counts(&all), gauge.get()), (vec![1, 2, 2], 2));
        all[1].release_all();
        assert_eq!((counts(&all), gauge.get()), (vec![1, 1, 2], 2));
        all[2].claim_up(Some(SeriesRef(10)), &target);
        all[2].release(SeriesRef(1));
        assert_eq!((counts(&all), gauge.get()), (vec![0, 0, 0], 0));
        all.clear();
        assert!(claims.holders.lock().is_empty());
    }
}
