//! Events that a plan asks for.

/// Something to be recorded as an Event on the object that was reconciled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// Reason, in Kubernetes' words.
    pub reason: &'static str,
    /// For a reader.
    pub message: String,
}

impl Note {
    pub(crate) fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self { warning: false, reason, message: message.into() }
    }
}
