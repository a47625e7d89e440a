//! The limit of open files: raised for this process, and what it was for the pods that are started from it.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Soft limit that this process was started with. Of the process, as the limit itself is.
static AT_START: OnceLock<Option<u64>> = OnceLock::new();

/// Lets this process open as many files as the system allows.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    AT_START.get_or_init(|| limit.current);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != raised.current
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        eprintln!("swell: the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// The soft limit before [`raise`]; `None` without one.
pub(crate) fn at_start() -> Option<u64> {
    AT_START.get().copied().flatten()
}
