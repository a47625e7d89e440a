//! The client verbs: a library of the one binary.
//!
//! Each verb is raw arguments → checked arguments → requests → text. Objects come from the Kubernetes-style API
//! (found through a kubeconfig), queries and explanations from the HTTP API.

mod adopt;
mod apply;
mod args;
mod connect;
mod describe;
mod error;
mod explain;
mod get;
mod http_api;
mod kinds;
mod logs;
mod output;
mod plot;
mod query;
mod snapshot;
mod top;
mod write;

pub use adopt::{Adopted, Adopter};
pub use args::ClientVerb;
pub use error::{CliError, ExitStatus};
pub use snapshot::snapshot;

use output::Output;

/// Runs one verb; text goes to `out`.
///
/// # Errors
/// [`CliError`], with the exit status that fits and what to do about it.
pub async fn run(verb: ClientVerb, out: &mut dyn std::io::Write) -> Result<(), CliError> {
    let mut out = Output::new(out);
    match verb {
        ClientVerb::Apply(args) => apply::run(&args, &mut out).await,
        ClientVerb::Get(args) => get::run(&args, &mut out).await,
        ClientVerb::Describe(args) => describe::run(&args, &mut out).await,
        ClientVerb::Delete(args) => write::delete(&args, &mut out).await,
        ClientVerb::Scale(args) => write::scale(&args, &mut out).await,
        ClientVerb::Logs(args) => logs::run(&args, &mut out).await,
        ClientVerb::Top(args) => top::run(&args, &mut out).await,
        ClientVerb::Events(args) => get::events(&args, &mut out).await,
        ClientVerb::Query(args) => query::run(&args, &mut out).await,
        ClientVerb::Explain(args) => explain::run(&args, &mut out).await,
    }
}
