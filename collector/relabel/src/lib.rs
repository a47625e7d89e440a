//! Relabel rules as a function from labels to labels.
