//! The embedded columnar time-series database: head, write-ahead log, blocks, compaction, retention, select.
//!
//! Samples come in through [`swell_model::SampleSink`]: a batch is one record of the log ([`Config::wal_sync`]
//! says when it is synced), then visible in the head as a whole. [`Db::maintain`] flushes windows of two hours
//! into immutable blocks, merges these, and deletes what is too old. [`Db::delete_series`] hides what is deleted at
//! once; [`Db::snapshot`] copies the database while it is written to. Reads ([`swell_model::SeriesSource`]) take a
//! snapshot under a short lock and decode afterwards.
//!
//! Nothing here is async; callers have a pool for it. The on-disk formats are described in `docs/format/`.

mod acknowledged;
mod adopt;
mod ahead;
mod arrivals;
mod at_hand;
mod block;
mod checkpoint;
mod coarse;
mod compact;
mod config;
mod db;
mod delete;
mod described;
mod exemplars;
mod flush;
mod follow;
mod groupings;
mod head;
mod hold;
mod import;
mod late;
mod limits;
mod listing;
mod maintain;
mod metrics;
mod names;
mod newest;
mod open;
mod pace;
mod parts;
mod probe;
mod publish;
mod reserve;
mod restore;
mod retention;
mod select;
mod small_file;
mod snapshot;
mod starts;
mod status;
mod timeline;
mod tombstones;
mod tuned;
mod wal;
mod writes;

pub use acknowledged::{AcknowledgeError, AcknowledgedDamage, WhichDamage};
pub use adopt::{AdoptError, AdoptReport};
pub use compact::downsample::Tier;
pub use config::{Config, WalSync};
pub use db::Db;
pub use exemplars::SeriesExemplars;
pub use follow::{FollowError, Followed, LogFollower, LogPosition, LoggedBatch};
pub use import::{ImportError, ImportReport};
pub use listing::BlockListing;
pub use maintain::MaintainError;
pub use open::OpenError;
pub use pace::BackgroundShare;
pub use restore::Replay;
pub use retention::RetentionRule;
pub use snapshot::{SnapshotError, SnapshotReport, restore};
pub use status::{
    BlocksStatus, Cardinality, Damage, DeleteReport, HeadStatus, MaintainReport, Status,
    TierStatus, WalStatus,
};
pub use wal::{RecordHistogram, RecordRow};
pub use writes::Refusal;
