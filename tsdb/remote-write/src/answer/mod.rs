//! What an answer of a receiver means.

mod plan;

pub(crate) use plan::{Answer, Settled, Verdict, judge};
