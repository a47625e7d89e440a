//! The Parquet archive: sealed windows of time go out, queries reach back in.
//!
//! [`Uploader`] writes windows of a [`swell_model::SeriesSource`] as Parquet files, partitioned by day, into a
//! folder or an S3-compatible store; the list that makes a window visible comes last. [`Archive`] gives them back as a
//! [`swell_model::SeriesSource`], reading only what time, metric and statistics leave. The files are for other engines
//! too: `docs/archive.md` has the columns.
//!
//! Everything is synchronous; a thread of the [`Store`] waits for the network. Only this crate knows arrow and parquet.

mod archive;
mod cache;
mod catalogue;
mod columns;
mod compact;
mod decode;
mod files;
mod histograms;
mod labels;
mod layout;
mod location;
mod manifest;
mod omissions;
mod part;
mod plan;
mod prometheus;
mod rows;
mod store;
mod stream;
mod transport;
mod upload;

pub use archive::{Archive, ReadError, UploadSummary};
pub use catalogue::CatalogueError;
pub use compact::{MergeError, MergeReport};
pub use files::{FilesError, ParquetFiles, parquet_files};
pub use layout::Window;
pub use location::{Credentials, Location, LocationError, S3};
pub use part::WriteError;
pub use prometheus::{PrometheusBlock, PrometheusError, prometheus_blocks};
pub use store::{OpenStoreError, Store, StoreError};
pub use stream::{ARROW_STREAM, StreamError, StreamedSamples, write_arrow_stream};
pub use upload::{
    ExportProgress, UploadConfig, UploadError, UploadReport, Uploader, export_window,
};
