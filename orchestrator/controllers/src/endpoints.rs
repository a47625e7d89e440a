//! Keeps the Endpoints of Services.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use swell_client::{Cache, Client, ClientError, DeleteParams, ObjectKey};
use swell_reconcile::endpoints::{Observed, Plan, reconcile};

use crate::error::ReconcileError;
use crate::worker::Reconciler;

pub(crate) struct ServiceEndpoints {
    pub(crate) client: Client,
    pub(crate) services: Cache<Service>,
    pub(crate) endpoints: Cache<Endpoints>,
    pub(crate) pods: Cache<Pod>,
}

impl Reconciler for ServiceEndpoints {
    type Key = ObjectKey;
    const NAME: &'static str = "endpoints";

    async fn reconcile(&self, key: &ObjectKey) -> Result<Option<Duration>, ReconcileError> {
        let service = self.services.get_key(key);
        let endpoints = self.endpoints.get_key(key);
        let pods = match &service {
            Some(_) => self.pods.list_namespace(&key.namespace),
            None => Vec::new(),
        };
        let observed =
            Observed { service: service.as_deref(), endpoints: endpoints.as_deref(), pods: &pods };
        match reconcile(&observed) {
            Plan::Nothing => {}
            Plan::Create(wanted) => match self.client.create(&*wanted).await {
                Ok(_) => {}
                // Somebody was quicker, or the cache is behind: the change that it will show brings us back.
                Err(ClientError::AlreadyExists { .. }) if endpoints.is_none() => {}
                Err(error) => {
                    return Err(ReconcileError::write("create the endpoints of service", key)(
                        error,
                    ));
                }
            },
            Plan::Replace(wanted) => {
                self.client
                    .replace(&*wanted)
                    .await
                    .map_err(ReconcileError::write("replace the endpoints of service", key))?;
            }
            Plan::Delete => {
                let params = DeleteParams::default();
                match self
                    .client
                    .delete::<Endpoints>(Some(&key.namespace), &key.name, &params)
                    .await
                {
                    Ok(()) | Err(ClientError::NotFound { .. }) => {}
                    Err(error) => {
                        return Err(ReconcileError::write("delete the endpoints of service", key)(
                            error,
                        ));
                    }
                }
            }
        }
        Ok(None)
    }
}
