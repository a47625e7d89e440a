//! The agent with real processes and an API in memory.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod lab;
mod logs;
mod pods;
mod restarts;
