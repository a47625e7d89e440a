//! `/api/swell/v1/arrow`: raw samples as a stream of Arrow record batches.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use swell_archive::{ARROW_STREAM, StreamError, StreamedSamples, write_arrow_stream};
use swell_telemetry::chain;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

/// Batches that wait for the client, of about a megabyte each.
const WAITING_MAX: usize = 4;
/// A client that takes nothing for this long is cut off: it would hold a place that a query could have.
const CLIENT_DEADLINE: Duration = Duration::from_secs(30);

type Piece = Result<Bytes, StreamError>;

/// Raw samples of all series that one of `match[]` selects, in a range of time.
pub(crate) async fn stream(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let selectors = params.selectors()?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = params.range()?;
    let samples = match params.get("samples") {
        None | Some("floats") => StreamedSamples::Floats,
        Some("histograms") => StreamedSamples::Histograms,
        Some(other) => {
            let told = format!("{other:?} is neither floats nor histograms");
            return Err(ApiError::bad_param("samples", told));
        }
    };
    let turn = api.turn(params.client(), api.config.timeout).await?;
    let (sender, mut receiver) = mpsc::channel::<Piece>(WAITING_MAX);
    let source = api.source.clone();
    let handle = Handle::current();
    api.pool.spawn(move || {
        let deliver = |piece: Piece| {
            // The timer is that of the runtime with the sockets; the threads of queries have none.
            let sending = async { tokio::time::timeout(CLIENT_DEADLINE, sender.send(piece)).await };
            matches!(handle.block_on(sending), Ok(Ok(())))
        };
        let mut send = |bytes: Bytes| deliver(Ok(bytes));
        let written = write_arrow_stream(&*source, &selectors, range, samples, &mut send);
        match written {
            // Nobody is there to be told.
            Ok(_) | Err(StreamError::Gone) => {}
            Err(error) => {
                deliver(Err(error));
            }
        }
        drop(turn);
    });
    // A failure before the first batch has a status of its own; later ones can only cut the stream.
    let first = match receiver.recv().await {
        Some(Ok(first)) => first,
        Some(Err(StreamError::Select(error))) => return Err(error.into()),
        Some(Err(error)) => return Err(ApiError::internal(chain(&error))),
        None => return Err(ApiError::internal("the stream ended before it began")),
    };
    let pieces = tokio_stream::once(Ok(first)).chain(ReceiverStream::new(receiver)).map(|piece| {
        piece.map_err(|error| {
            tracing::warn!(error = chain(&error), "a stream of record batches was cut");
            io::Error::other(error)
        })
    });
    Ok(([(header::CONTENT_TYPE, ARROW_STREAM)], Body::from_stream(pieces)).into_response())
}
