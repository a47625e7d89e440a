//! Pages that somebody else makes of the answers to several queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{Extensions, StatusCode};
use parking_lot::Mutex;
use swell_model::TimestampMs;
use swell_promql::QueryValue;
use swell_promql_syntax::parse;

use crate::error::ApiError;
use crate::service::Api;
use crate::turns::Client;

/// Answers the queries of one page, one after the other. Together they have one turn and the time of one query; each has the
/// other limits of a query.
#[derive(Debug)]
pub struct PageQueries {
    api: Arc<Api>,
    cancelled: Arc<AtomicBool>,
    /// Why answers may be incomplete.
    remarks: Mutex<Vec<String>>,
}

/// Why a page was not made: too much waits, or it took too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRefusal {
    /// What the client is answered with.
    pub code: StatusCode,
    /// The reason, for people.
    pub message: String,
}

impl PageQueries {
    /// The value of a query at one instant.
    ///
    /// # Errors
    /// A message for the user.
    pub fn instant(&self, query: &str, at: TimestampMs) -> Result<QueryValue, String> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err("nobody waits for the page any more".to_owned());
        }
        let expr = parse(query).map_err(|error| error.to_string())?;
        let (value, remarks) = self
            .api
            .instant_in_turn(query, &expr, at, &self.cancelled)
            .map_err(|error| error.message().to_owned())?;
        self.remarks.lock().extend(remarks);
        Ok(value)
    }

    /// Why answers so far may be incomplete, each reason once.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.remarks.lock().clone();
        remarks.sort_unstable();
        remarks.dedup();
        remarks
    }
}

impl Api {
    /// Has a page made on a thread of queries when it is the turn of its client, whom the extensions of the request name.
    ///
    /// # Errors
    /// [`PageRefusal`] when too many queries wait, or the time of a query is up.
    pub async fn make_page<T: Send + 'static>(
        self: &Arc<Self>,
        request: &Extensions,
        make: impl FnOnce(&PageQueries) -> T + Send + 'static,
    ) -> Result<T, PageRefusal> {
        let cancelled = Arc::<AtomicBool>::default();
        let queries = PageQueries {
            api: Arc::clone(self),
            cancelled: Arc::clone(&cancelled),
            remarks: Mutex::default(),
        };
        let client = Client::of(request);
        let made = self.run(&client, self.config.timeout, cancelled, move || Ok(make(&queries)));
        made.await.map_err(|error: ApiError| PageRefusal {
            code: error.code(),
            message: error.message().to_owned(),
        })
    }
}
