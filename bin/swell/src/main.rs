//! The one binary: composition root of every role.
fn main() {}
