//! The settings that a reload replaces, shared by those who read them.

use std::sync::Arc;

use parking_lot::RwLock;
use swell_model::{DurationMs, Labels, TimestampMs};

/// What a reload replaces of the API's settings.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The configuration as YAML, without secrets.
    pub config_yaml: String,
    /// Labels of this server, for those that take its samples over.
    pub external_labels: Labels,
    /// Step of subqueries that name none.
    pub subquery_step: DurationMs,
    /// How long samples are kept, in words.
    pub retention: String,
}

/// The settings in force, and how the last attempt to replace them went. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub struct ConfigState(Arc<RwLock<Loaded>>);

#[derive(Debug)]
struct Loaded {
    current: Arc<InForce>,
    loaded_at: TimestampMs,
    last_succeeded: bool,
}

impl ConfigState {
    /// The settings of the start.
    #[must_use]
    pub fn new(settings: InForce, now: TimestampMs) -> Self {
        let state = Loaded { current: Arc::new(settings), loaded_at: now, last_succeeded: true };
        Self(Arc::new(RwLock::new(state)))
    }

    /// The settings in force.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        self.0.read().current.clone()
    }

    /// Puts others in force.
    pub fn replace(&self, settings: InForce, now: TimestampMs) {
        let state = Loaded { current: Arc::new(settings), loaded_at: now, last_succeeded: true };
        *self.0.write() = state;
    }

    /// Others were refused.
    pub fn refused(&self) {
        self.0.write().last_succeeded = false;
    }

    /// When the settings in force were read, and whether the last attempt to replace them succeeded.
    pub(crate) fn last_load(&self) -> (TimestampMs, bool) {
        let state = self.0.read();
        (state.loaded_at, state.last_succeeded)
    }
}
