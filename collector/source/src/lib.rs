//! What in-process sources share: kernel files that stay open between ticks ([`KernelFile`]), parsing
//! of their text without allocation ([`lines`], [`fields`], [`parse_u64`]), series kept in the order
//! the kernel lists them ([`KeyedSeries`]), and the series a scrape of a job would leave ([`VirtualJob`]).
//!
//! Absent here: which files to read and what they mean; that is each source's own.

mod fields;
mod job;
mod kernel_file;
mod keyed;

pub use fields::{fields, key_value, lines, parse_f64, parse_u64};
pub use job::{JobLabels, Stopwatch, VirtualJob};
pub use kernel_file::{KernelFile, ReadError, Scratch};
pub use keyed::KeyedSeries;
