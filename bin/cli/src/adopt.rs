//! Blocks that an import made beside a running server's storage, handed to that server.

use std::path::PathBuf;
use std::time::Duration;

use crate::CliError;
use crate::args::HttpArgs;
use crate::http_api::post_within;

const PATH: &str = "/api/swell/v1/tsdb/adopt";
/// A block waits until a merge that is under way has ended, which goes on slowly beside other work.
const DEADLINE: Duration = Duration::from_secs(2 * 3600);

/// What a server took in of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Samples that it stored.
    pub sample_count: u64,
    /// Samples of times that it has in memory, which were left out.
    pub left_out: u64,
    /// First time in its memory, in milliseconds, where samples were left out.
    pub memory_from_ms: Option<i64>,
    /// First and last time of what it stored, in milliseconds.
    pub ends_ms: Option<(i64, i64)>,
    /// Bytes of the block it wrote.
    pub block_bytes: u64,
    /// Blocks of aggregates it made anew.
    pub aggregated_count: usize,
}

/// A server, to hand blocks to.
#[derive(Debug)]
pub struct Adopter(HttpArgs);

impl Adopter {
    /// The server at an address; `ca_file` names the authorities to trust over https.
    #[must_use]
    pub fn new(server: String, ca_file: Option<PathBuf>) -> Self {
        Self(HttpArgs { server, ca_file })
    }

    /// Has the server take in the block of a folder in `incoming` of its storage.
    ///
    /// # Errors
    /// [`CliError`] when the server cannot be reached or does not take it.
    pub async fn adopt(&self, folder: &str, block: &str) -> Result<Adopted, CliError> {
        let params = [("folder", folder), ("block", block)];
        let told = post_within(&self.0, PATH, &params, DEADLINE).await?;
        let data = &told["data"];
        let Some(sample_count) = data["samples"].as_u64() else {
            let message = format!("{PATH} told of no samples: {told}");
            return Err(CliError::HttpAnswer { code: 200, message });
        };
        let count = |name: &str| data[name].as_u64().unwrap_or(0);
        Ok(Adopted {
            sample_count,
            left_out: count("leftOut"),
            memory_from_ms: data["memoryFromMs"].as_i64(),
            ends_ms: data["fromMs"].as_i64().zip(data["toMs"].as_i64()),
            block_bytes: count("bytes"),
            aggregated_count: usize::try_from(count("aggregateBlocks")).unwrap_or(usize::MAX),
        })
    }
}
