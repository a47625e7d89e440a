//! The receiver of remote write as senders see it: requests against the routes, over the real engine.

mod lab;
mod limits;
mod sequence;
mod storage;
mod types;
