//! A snapshot of a running server's storage, for tools that work on files.

use std::path::PathBuf;

use crate::CliError;
use crate::args::HttpArgs;
use crate::http_api::post;

const PATH: &str = "/api/v1/admin/tsdb/snapshot";

/// Has the server at an address make a snapshot; gives its name. `ca_file` names the authorities to trust over https.
///
/// # Errors
/// [`CliError`] when the server cannot be reached or makes none.
pub async fn snapshot(server: String, ca_file: Option<PathBuf>) -> Result<String, CliError> {
    let made = post(&HttpArgs { server, ca_file }, PATH, &[]).await?;
    made["data"]["name"].as_str().map(str::to_owned).ok_or_else(|| CliError::HttpAnswer {
        code: 200,
        message: format!("{PATH} named no snapshot: {made}"),
    })
}
