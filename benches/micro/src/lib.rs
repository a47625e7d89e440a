//! Kernels timed with divan; see `benches/`. Generated data is here, so that each bench runs on the same.

pub mod cluster;
pub mod node;
pub mod timing;
