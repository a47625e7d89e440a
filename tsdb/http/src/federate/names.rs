//! Names and labels as a reader gets them.

use std::borrow::Cow;

use swell_model::{Labels, METRIC_NAME};

const INSTANCE: &str = "instance";

/// How series are named.
pub(super) struct Names<'a> {
    /// This server's labels, for series that have none of the name.
    pub(super) external: &'a Labels,
    /// Whether the reader knows names beyond the classic alphabet.
    pub(super) utf8_names: bool,
}

impl Names<'_> {
    /// Labels of a series but for its name, in order.
    pub(super) fn pairs<'l>(&'l self, labels: &'l Labels) -> Vec<(Cow<'l, str>, &'l str)> {
        let own = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
        let added = self.external.iter().filter(|(label, _)| labels.get(label).is_none());
        let mut pairs: Vec<(Cow<'_, str>, &str)> =
            own.chain(added).map(|(label, text)| (self.name(label), text)).collect();
        // Even an empty one keeps the reader from adding its own.
        if labels.get(INSTANCE).is_none() && self.external.get(INSTANCE).is_none() {
            pairs.push((Cow::Borrowed(INSTANCE), ""));
        }
        pairs.sort();
        pairs
    }

    /// A name as the reader knows it: for one of the classic alphabet other characters become `_`.
    pub(super) fn name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let fits = |(idx, character): (usize, char)| {
            character.is_ascii_alphabetic()
                || matches!(character, '_' | ':')
                || (idx > 0 && character.is_ascii_digit())
        };
        if self.utf8_names || name.chars().enumerate().all(fits) {
            return Cow::Borrowed(name);
        }
        let characters = name.chars().enumerate();
        characters.map(|(idx, it)| if fits((idx, it)) { it } else { '_' }).collect()
    }
}
