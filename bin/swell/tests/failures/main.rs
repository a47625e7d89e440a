//! What users get wrong, and what goes wrong by itself: each gets an answer, nothing crashes, nothing is lost.
#![expect(clippy::disallowed_methods, reason = "tests of the binary measure real time")]

#[path = "../harness/mod.rs"]
mod harness;

mod agents;
mod crashes;
mod disk;
mod garbage;
mod objects;
mod pods;
mod queries;
mod reload;
mod running_queries;
mod start;
mod storm;
mod targets;
mod web;
