//! Who is asked, and how: checked values.

use std::time::Duration;

use swell_http_client::ClientOptions;
use url::Url;

/// One server that has samples, an entry of `remote_read:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteReadConfig {
    /// Its name in metrics and warnings; none is given twice.
    pub name: String,
    /// Where it answers.
    pub url: Url,
    /// How it is asked.
    pub client: ClientOptions,
    /// Longest an answer may take, all of it.
    pub timeout: Duration,
    /// Whether it is asked for times that the storage here has, too.
    pub read_recent: bool,
    /// Labels that a selection has to ask for, with these values, so that the server is asked.
    pub required: Vec<(String, String)>,
    /// Whether this server's own labels are asked for where the selection does not name them, and then left out of the
    /// answer: for a server that stores what is sent from here.
    pub filter_external_labels: bool,
    /// Bytes of a frame of chunks; an answer with a longer one is refused.
    pub frame_bytes_max: usize,
}
