//! From the head to blocks, and from blocks to larger or coarser ones: planned on metadata, then carried out.

mod anew;
pub(crate) mod downsample;
pub(crate) mod execute;
pub(crate) mod plan;
mod rewrite;
pub(crate) mod sources;
