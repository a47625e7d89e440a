//! The API as clients see it: requests against the router, over the real engine on a directory in memory.

mod admin;
mod edge;
mod federate;
mod health;
mod lab;
mod labels;
mod lifecycle;
mod limits;
mod pages;
mod query;
mod remote_read;
mod search;
mod status;
mod tree;
