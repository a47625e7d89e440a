//! Embeds the built web app and serves what its pages need beyond the Prometheus and Kubernetes APIs.
//!
//! [`router`] has the app at `/` and its pages' addresses, and `/api/swell/v1/{overview,workloads/…}`. The views
//! ([`view`]) are pure functions of the objects. The app works below whatever path it is served.

mod app;
mod observe;
mod operations;
pub mod view;

pub use app::AppSettings;
pub use observe::{ObjectViews, router};
pub use operations::operations;
