//! What targets tell of their families, held once however many of them tell the same.
//!
//! A list of families is shared as the descriptions in it are: targets that run the same program tell the same list, so
//! that each of them costs a pointer to it and a few counters, and nothing per metric. A list that one target alone tells
//! costs 8 bytes for each family, beside the descriptions that nobody else tells.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use swell_model::MetricDescription;

/// Families in the order of their names, each name once.
pub type Families = Arc<[Arc<MetricDescription>]>;

/// A family that a target tells no more stays known for so many further scrapes, as upstream.
const KEPT_SCRAPES: u64 = 10;
/// Fewer values are not worth a look for those that nobody holds any more.
const SWEEP_MIN: usize = 256;

/// Values that are held once. Those that nobody else holds go once all have doubled in number.
#[derive(Debug)]
struct SharedValues<T: ?Sized + Eq + Hash> {
    all: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized + Eq + Hash> SharedValues<T> {
    fn new() -> Self {
        Self { all: HashSet::new(), sweep_at: SWEEP_MIN }
    }

    /// The value that is held for all that equal this one; `make` makes it where there is none.
    fn held(&mut self, value: &T, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(known) = self.all.get(value) {
            return Arc::clone(known);
        }
        let made = make();
        self.all.insert(Arc::clone(&made));
        made
    }

    fn is_due(&self) -> bool {
        self.all.len() >= self.sweep_at
    }

    fn sweep(&mut self) {
        self.all.retain(|value| Arc::strong_count(value) > 1);
        self.sweep_at = SWEEP_MIN.max(2 * self.all.len());
    }
}

/// Descriptions of all targets.
#[derive(Debug)]
pub(crate) struct FamilyCatalog(Mutex<Shared>);

#[derive(Debug)]
struct Shared {
    descriptions: SharedValues<MetricDescription>,
    lists: SharedValues<[Arc<MetricDescription>]>,
}

impl FamilyCatalog {
    /// Without any.
    pub(crate) fn new() -> Self {
        let (descriptions, lists) = (SharedValues::new(), SharedValues::new());
        Self(Mutex::new(Shared { descriptions, lists }))
    }

    /// The list that is held for all targets that tell this one.
    fn held(&self, told: &[MetricDescription]) -> Families {
        let Shared { descriptions, lists } = &mut *self.0.lock();
        if lists.is_due() || descriptions.is_due() {
            // A list holds its descriptions, so it goes first.
            lists.sweep();
            descriptions.sweep();
        }
        let families = told.iter().map(|one| descriptions.held(one, || Arc::new(one.clone())));
        let families: Vec<Arc<MetricDescription>> = families.collect();
        lists.held(&families, || Arc::from(families.as_slice()))
    }
}

/// What one target told of its families in its last scrapes.
#[derive(Debug)]
pub(crate) struct Described {
    catalog: Arc<FamilyCatalog>,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    /// In the last scrape that was stored.
    last: Families,
    /// Families that are not in `last`, and the number of the last scrape that brought them.
    missing: Vec<(Arc<MetricDescription>, u64)>,
    /// Scrapes so far, failed ones too.
    scrapes: u64,
    /// Number of the last one that was stored.
    stored: u64,
}

impl Described {
    /// Of a target that told nothing yet.
    pub(crate) fn new(catalog: &Arc<FamilyCatalog>) -> Self {
        let last = Families::from(Vec::new());
        let told = Told { last, missing: Vec::new(), scrapes: 0, stored: 0 };
        Self { catalog: Arc::clone(catalog), told: Mutex::new(told) }
    }

    /// What is known of its families, those that it tells no more since a short time as well.
    pub(crate) fn families(&self) -> Families {
        let told = self.told.lock();
        if told.missing.is_empty() {
            return Arc::clone(&told.last);
        }
        let missing = told.missing.iter().map(|(family, _)| family);
        let mut all: Vec<_> = told.last.iter().chain(missing).cloned().collect();
        all.sort_by(|one, other| one.metric_name.cmp(&other.metric_name));
        all.into()
    }

    /// How many families are known.
    pub(crate) fn family_count(&self) -> usize {
        let told = self.told.lock();
        told.last.len() + told.missing.len()
    }

    /// A scrape failed: what is known stays.
    pub(crate) fn failed(&self) {
        self.told.lock().scrapes += 1;
    }

    /// A scrape was stored that told these families, in the order of their names; `None` where they are those of the one
    /// that was stored before.
    pub(crate) fn stored(&self, families: Option<&[MetricDescription]>) {
        let news = families.map(|families| self.catalog.held(families));
        let told = &mut *self.told.lock();
        told.scrapes += 1;
        if let Some(news) = news {
            let before = std::mem::replace(&mut told.last, news);
            let stored = told.stored;
            told.missing.extend(before.iter().map(|family| (Arc::clone(family), stored)));
            let Told { last, missing, .. } = told;
            let is_told = |name: &str| {
                last.binary_search_by(|family| family.metric_name.as_str().cmp(name)).is_ok()
            };
            missing.retain(|(family, _)| !is_told(&family.metric_name));
        }
        let scrapes = told.scrapes;
        told.missing.retain(|(_, brought)| scrapes - brought <= KEPT_SCRAPES);
        told.stored = scrapes;
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{MetricKind, MetricMetadata};

    use super::*;

    fn families(told: &[(&str, &str)]) -> Vec<MetricDescription> {
        let one = |(name, help): &(&str, &str)| MetricDescription {
            metric_name: (*name).to_owned(),
            metadata: MetricMetadata {
                kind: MetricKind::Gauge,
                help: (*help).to_owned(),
                unit: String::new(),
            },
        };
        told.iter().map(one).collect()
    }

    fn shown(described: &Described) -> String {
        let families = described.families();
        let shown = families.iter().map(|it| format!("{} {}", it.metric_name, it.metadata.help));
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn targets_that_tell_the_same_hold_one_list() {
        let catalog = Arc::new(FamilyCatalog::new());
        let (one, other) = (Described::new(&catalog), Described::new(&catalog));
        one.stored(Some(&families(&[("a", "x"), ("b", "y")])));
        other.stored(Some(&families(&[("a", "x"), ("b", "y")])));
        assert!(Arc::ptr_eq(&one.families(), &other.families()));
        other.stored(Some(&families(&[("a", "z"), ("b", "y")])));
        assert_eq!([shown(&one), shown(&other)], ["a x, b y", "a z, b y"]);
        assert!(Arc::ptr_eq(&one.families()[1], &other.families()[1]), "the description of b");
    }

    #[test]
    fn a_family_that_is_told_no_more_stays_for_ten_scrapes() {
        let described = Described::new(&Arc::new(FamilyCatalog::new()));
        described.stored(Some(&families(&[("a", "x"), ("b", "y"), ("c", "z")])));
        described.stored(Some(&families(&[("a", "x"), ("c", "z")])));
        (0..9).for_each(|_| described.stored(None));
        assert_eq!(shown(&described), "a x, b y, c z");
        described.stored(None);
        assert_eq!(shown(&described), "a x, c z");
        // One that comes back is as it is told now.
        described.stored(Some(&families(&[("a", "x")])));
        described.stored(Some(&families(&[("a", "x"), ("c", "new")])));
        assert_eq!(shown(&described), "a x, c new");
    }

    #[test]
    fn failed_scrapes_count_and_forget_nothing() {
        let described = Described::new(&Arc::new(FamilyCatalog::new()));
        described.stored(Some(&families(&[("a", "x"), ("b", "y")])));
        (0..20).for_each(|_| described.failed());
        assert_eq!(shown(&described), "a x, b y");
        described.stored(Some(&families(&[("b", "y")])));
        assert_eq!(shown(&described), "b y", "a was not seen in the last ten scrapes");
    }

    #[test]
    fn what_nobody_tells_any_more_is_not_held() {
        let catalog = Arc::new(FamilyCatalog::new());
        let described = Described::new(&catalog);
        for nr in 0..10 * SWEEP_MIN {
            described.stored(Some(&families(&[("a", &nr.to_string())])));
        }
        let Shared { descriptions, lists } = &*catalog.0.lock();
        assert!(descriptions.all.len() <= SWEEP_MIN && lists.all.len() <= SWEEP_MIN);
        assert_eq!(described.families().len(), 1);
    }
}
