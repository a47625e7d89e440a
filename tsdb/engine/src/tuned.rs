//! Settings that may change while the database is open.

use swell_model::DurationMs;

use crate::config::Config;
use crate::db::{Db, Inner};
use crate::retention::Limits;

/// The changeable settings in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuned {
    pub(crate) retention_time: DurationMs,
    pub(crate) retention_size_bytes: Option<u64>,
    pub(crate) out_of_order_window: DurationMs,
}

impl From<&Config> for Tuned {
    fn from(config: &Config) -> Self {
        Self {
            retention_time: config.retention_time,
            retention_size_bytes: config.retention_size_bytes,
            out_of_order_window: config.out_of_order_window,
        }
    }
}

impl Inner {
    /// The settings in force. Nothing else is locked under theirs.
    pub(crate) fn tuned(&self) -> Tuned {
        *self.tuned.read()
    }

    /// How long samples are kept, as of now.
    pub(crate) fn retention(&self) -> Limits<'_> {
        let tuned = self.tuned();
        Limits {
            time: tuned.retention_time,
            rules: &self.config.retention_rules,
            size_bytes: tuned.retention_size_bytes,
        }
    }
}

impl Db {
    /// Takes over what of these settings may change while the database is open: retention by time and by size, how late
    /// samples may be, and how many exemplars are kept. The next [`Db::maintain`] follows; the rest stays as it was
    /// opened with.
    pub fn tune(&self, config: &Config) {
        *self.inner.tuned.write() = Tuned::from(config);
        self.inner.exemplars.write().resize(config.exemplars_max);
    }
}

impl Config {
    /// Whether [`Db::tune`] is enough to go from this to the other.
    #[must_use]
    pub fn differs_only_as_tuned(&self, other: &Self) -> bool {
        let tuned = Self {
            retention_time: other.retention_time,
            retention_size_bytes: other.retention_size_bytes,
            out_of_order_window: other.out_of_order_window,
            exemplars_max: other.exemplars_max,
            ..self.clone()
        };
        tuned == *other
    }
}
