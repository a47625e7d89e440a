//! Which uploads there are.

use std::collections::BTreeMap;
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
            let content = store.get(&name)?;
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

    pub(crate) fn all(&self) -> impl Iterator<Item = &Manifest> {
        self.uploads.values().map(|manifest| &**manifest)
    }

    pub(crate) fn windows(&self) -> Vec<Window> {
        self.all().map(Manifest::window).collect()
    }

    /// Uploads with samples in the range, oldest first.
    pub(crate) fn overlapping(&self, range: TimeRange) -> Vec<Arc<Manifest>> {
        let mut found: Vec<Arc<Manifest>> = self
            .uploads
            .values()
            .filter(|manifest| manifest.row_groups().any(|group| group.overlaps(range)))
            .cloned()
            .collect();
        found.sort_by_key(|manifest| manifest.window());
        found
    }
}
