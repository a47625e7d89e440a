//! From the head to blocks, and from blocks to larger ones: planned on metadata, then carried out.

pub(crate) mod execute;
pub(crate) mod plan;
