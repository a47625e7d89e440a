//! Where to read and what to call it.

use std::path::PathBuf;

/// What to read and under which labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `/proc`. When it is another directory, process ids in it may be of another namespace, so CPU time is
    /// summed up from the tasks' files instead of being asked from the kernel's clocks.
    pub procfs: PathBuf,
    /// Label `job`, `cadvisor` by custom.
    pub job: String,
    /// Label `instance`, the node's `host:port`.
    pub instance: String,
    /// Label `node`: the node's name.
    pub node: String,
    /// Further labels on every series, such as `cluster`.
    pub extra_labels: Vec<(String, String)>,
}

impl Config {
    /// The containers of the machine this process runs on.
    #[must_use]
    pub fn machine(node: &str, instance: &str) -> Self {
        Self {
            procfs: "/proc".into(),
            job: "cadvisor".to_owned(),
            instance: instance.to_owned(),
            node: node.to_owned(),
            extra_labels: Vec::new(),
        }
    }
}
