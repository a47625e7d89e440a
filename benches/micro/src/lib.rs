//! Kernels timed with divan; see `benches/`.
