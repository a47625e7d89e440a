//! `MetricsService/Export` over gRPC, on the port of the HTTP API: the body is read within the same budget, and what is
//! in the frame is counted before it is built.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::{Buf as _, Bytes};
use http_body_util::Full;
use prost::Message as _;
use swell_otlp::Encoding;
use swell_otlp::message::{ExportResponse, PartialSuccess};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::server::Grpc;
use tonic::{Code, Status};

use super::{Content, OtlpReceiver, told_refused};
use crate::failure::Failure;
use crate::metrics::Way;
use crate::unpack::BODY_BYTES_MAX;

/// Requests as bytes, answers as messages.
#[derive(Clone, Copy, Debug, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = ExportResponse;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = ExportResponse;
    type Error = Status;

    fn encode(&mut self, item: ExportResponse, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The call, as tonic's server wants it.
struct Export(Arc<OtlpReceiver>);

impl Service<tonic::Request<Bytes>> for Export {
    type Response = tonic::Response<ExportResponse>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let state = self.0.clone();
        Box::pin(async move {
            let receiver = state.clone();
            let content = Content { encoding: Encoding::Protobuf, is_gzip: false };
            let outcome = async {
                let body = state.intake.take_bytes(request.into_inner())?;
                state.intake.work(body, move |bytes| receiver.store(bytes, content)).await?
            };
            let outcome = outcome.await;
            state.note(Way::OtlpGrpc, &outcome);
            let stored = outcome.map_err(Status::from)?;
            let partial_success = (!stored.refused.is_empty()).then(|| PartialSuccess {
                rejected_data_points: i64::try_from(stored.refused.points()).unwrap_or(i64::MAX),
                error_message: told_refused(&stored),
            });
            Ok(tonic::Response::new(ExportResponse { partial_success }))
        })
    }
}

impl From<Failure> for Status {
    fn from(Failure { code, text }: Failure) -> Self {
        let code = match code {
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
            // ResourceExhausted would tell the sender to come again with the same.
            _ => Code::InvalidArgument,
        };
        Self::new(code, text)
    }
}

pub(super) async fn export(State(state): State<Arc<OtlpReceiver>>, request: Request) -> Response {
    let refused = |status: Status| status.into_http::<Body>();
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    if !content_type.is_some_and(|it| it.as_bytes().starts_with(b"application/grpc")) {
        let text = "this is a call of gRPC: send it with an OTLP exporter for gRPC, or POST to \
                    /api/v1/otlp/v1/metrics";
        return swell_http::plain_text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    }
    if !state.config.is_enabled {
        let text = "the OTLP receiver is off: start the server with --web.enable-otlp-receiver, or set \
                    swell.otlp_receiver.enabled";
        return refused(Status::unimplemented(text));
    }
    let body = match state.intake.take(body).await {
        Ok(body) => body,
        Err(error) => {
            let status = Status::from(Failure::from(error.clone()));
            state.note(Way::OtlpGrpc, &Err(error.into()));
            return refused(status);
        }
    };
    let request = axum::http::Request::from_parts(parts, Full::new(body.bytes()));
    let mut grpc = Grpc::new(BytesCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(BODY_BYTES_MAX);
    let response = grpc.unary(Export(state), request).await;
    drop(body);
    response.map(Body::new)
}
