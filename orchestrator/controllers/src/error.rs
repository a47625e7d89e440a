//! Why a plan could not be carried out.

use swell_client::ClientError;
use swell_reconcile::deployment::DeploymentError;

/// A reconciliation failed; it is tried again, later with each failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// A write was refused or got lost.
    #[error("{action} {object}")]
    Write {
        /// What was tried.
        action: &'static str,
        /// Namespace and name.
        object: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// No plan could be made.
    #[error(transparent)]
    Plan(#[from] DeploymentError),
}

impl ReconcileError {
    pub(crate) fn write(
        action: &'static str,
        object: impl std::fmt::Display,
    ) -> impl FnOnce(ClientError) -> Self {
        move |source| Self::Write { action, object: object.to_string(), source }
    }

    /// Whether the copy that was looked at was old: no fault, the new one is on its way.
    pub(crate) const fn is_stale(&self) -> bool {
        matches!(
            self,
            Self::Write { source: ClientError::Conflict { .. } | ClientError::NotFound { .. }, .. }
        )
    }
}
