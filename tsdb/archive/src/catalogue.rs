//! Which uploads there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swell_model::TimeRange;

use crate::layout::{UPLOADS, Window};
use crate::manifest::{Manifest, ManifestError};
use crate::store::{Store, StoreError};

/// The lists of all uploads, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    uploads: BTreeMap<String, Arc<Manifest>>,
}

/// Why the lists of uploads are not known.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The store gives no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A list is damaged, or of a newer version.
    #[error(
        "{location}/{name} cannot be used: {what}; restore it, or delete it to have the window uploaded again"
    )]
    List {
        /// The archive.
        location: String,
        /// The list.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Catalogue {
    /// What the store lists, together with what was known before: a listing may lag behind, so that nothing known
    /// is forgotten because it is not listed.
    pub(crate) fn refreshed(&self, store: &Store) -> Result<Self, CatalogueError> {
        let mut uploads = self.uploads.clone();
        for name in store.list(UPLOADS)? {
            if uploads.contains_key(&name) || !name.ends_with(".json") {
                continue;
            }
            let content = match store.get(&name) {
                // A listing may lag behind a merge.
                Err(error) if error.is_not_found() => continue,
                content => content?,
            };
            let fault = |error: ManifestError| CatalogueError::List {
                location: store.location().to_owned(),
                name: name.clone(),
                what: error.to_string(),
            };
            let manifest = Manifest::decode(&name, &content).map_err(fault)?;
            uploads.insert(name, Arc::new(manifest));
        }
        Ok(Self { uploads })
    }

    /// Both together.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.uploads.extend(other.uploads);
        self
    }

    pub(crate) fn add(&mut self, name: String, manifest: Manifest) {
        self.uploads.insert(name, Arc::new(manifest));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.uploads.remove(name);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Manifest>> {
        self.uploads.get(name)
    }

    /// Names that a list that is there stands for.
    fn replaced_names(&self) -> BTreeSet<&str> {
        self.uploads.values().flat_map(|it| it.replaces.iter().map(String::as_str)).collect()
    }

    /// The uploads that count, by the names of their lists: those that no other one stands for.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &Arc<Manifest>)> {
        let replaced = self.replaced_names();
        self.uploads
            .iter()
            .map(|(name, manifest)| (name.as_str(), manifest))
            .filter(move |(name, _)| !replaced.contains(name))
    }

    /// Uploads that others stand for, and that are not removed yet.
    pub(crate) fn replaced(&self) -> Vec<(String, Arc<Manifest>)> {
        let replaced = self.replaced_names();
        let is_replaced = |(name, _): &(&String, &Arc<Manifest>)| replaced.contains(name.as_str());
        let found = self.uploads.iter().filter(is_replaced);
        found.map(|(name, manifest)| (name.clone(), manifest.clone())).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Manifest> {
        self.named().map(|(_, manifest)| &**manifest)
    }

    pub(crate) fn windows(&self) -> Vec<Window> {
        self.all().map(Manifest::window).collect()
    }

    /// Uploads with samples in the range, oldest first.
    pub(crate) fn overlapping(&self, range: TimeRange) -> Vec<Arc<Manifest>> {
        let mut found: Vec<Arc<Manifest>> = self
            .named()
            .filter(|(_, manifest)| manifest.row_groups().any(|group| group.overlaps(range)))
            .map(|(_, manifest)| manifest.clone())
            .collect();
        found.sort_by_key(|manifest| manifest.window());
        found
    }
}
