//! Which group each series of a kept selection is in.

use std::collections::HashMap;
use std::sync::Arc;

use swell_model::{Grouping, Labels};

/// Groups without series that are carried along before all are made anew.
const UNUSED_MAX: usize = 64;

/// The groups of one grouping.
#[derive(Debug)]
pub(super) struct Groups {
    names: Vec<String>,
    without: bool,
    labels: Arc<[Labels]>,
    by_labels: HashMap<Labels, u32>,
    /// By place of the series.
    of_series: Vec<u32>,
}

impl Groups {
    /// Groups of these series.
    pub(super) fn new<'a>(
        grouping: Grouping<'_>,
        series: impl Iterator<Item = &'a Labels>,
    ) -> Self {
        let mut groups = Self {
            names: grouping.names.to_vec(),
            without: grouping.without,
            labels: Arc::default(),
            by_labels: HashMap::new(),
            of_series: Vec::new(),
        };
        let mut all = Vec::new();
        groups.of_series = series.map(|labels| groups.number(labels, &mut all)).collect();
        groups.labels = all.into();
        groups
    }

    /// Whether these are the groups of that grouping.
    pub(super) fn are_by(&self, grouping: Grouping<'_>) -> bool {
        self.without == grouping.without && self.names == grouping.names
    }

    /// The group of a series; `all` has the labels of the groups.
    fn number(&mut self, series: &Labels, all: &mut Vec<Labels>) -> u32 {
        let grouping = Grouping { names: &self.names, without: self.without };
        let labels = series.filtered(|name| grouping.keeps(name));
        let next = u32::try_from(all.len()).expect("no more groups than series");
        *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            all.push(labels.clone());
            next
        })
    }

    /// Takes over that series came or went: the places that they had before, and the labels of all.
    pub(super) fn move_to<'a>(
        &mut self,
        before: &[Option<u32>],
        labels: impl Fn(usize) -> &'a Labels,
    ) {
        if self.labels.len() > before.len() + UNUSED_MAX {
            let grouping = Grouping { names: &self.names.clone(), without: self.without };
            *self = Self::new(grouping, (0..before.len()).map(labels));
            return;
        }
        let mut all = self.labels.to_vec();
        let was = std::mem::take(&mut self.of_series);
        let places = before.iter().enumerate();
        self.of_series = places
            .map(|(place, before)| match before {
                Some(before) => was[*before as usize],
                None => self.number(labels(place), &mut all),
            })
            .collect();
        if all.len() != self.labels.len() {
            self.labels = all.into();
        }
    }

    /// Labels of the groups; some may have no series.
    pub(super) const fn labels(&self) -> &Arc<[Labels]> {
        &self.labels
    }

    /// The group of a series.
    pub(super) fn of(&self, place: usize) -> u32 {
        self.of_series[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(nr: usize) -> Labels {
        Labels::from_pairs([
            ("__name__", "m"),
            ("pod", &format!("pod-{}", nr / 2)),
            ("nr", &nr.to_string()),
        ])
    }

    #[test]
    fn groups_follow_series_that_come_and_go_and_do_not_grow_for_ever() {
        let names = ["pod".to_owned()];
        for without in [false, true] {
            let grouping = Grouping { names: &names, without };
            let mut there: Vec<usize> = (0..10).collect();
            let mut labels: Vec<Labels> = there.iter().copied().map(series).collect();
            let mut groups = Groups::new(grouping, labels.iter());
            assert!(groups.are_by(grouping));
            assert!(!groups.are_by(Grouping { without: !without, ..grouping }));
            for nr in 10..400 {
                // The third goes, another one comes.
                there.remove(2);
                there.push(nr);
                labels = there.iter().copied().map(series).collect();
                let before: Vec<Option<u32>> =
                    [0, 1, 3, 4, 5, 6, 7, 8, 9].map(Some).into_iter().chain([None]).collect();
                groups.move_to(&before, |place| &labels[place]);
                for (place, labels) in labels.iter().enumerate() {
                    let found = &groups.labels()[groups.of(place) as usize];
                    assert_eq!(*found, labels.filtered(|name| grouping.keeps(name)));
                }
                assert!(groups.labels().len() <= 10 + UNUSED_MAX + 1);
            }
        }
    }
}
