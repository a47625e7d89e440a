//! The gRPC service around a handler: what tonic's code generator would write.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::wire::{AgentMessage, CONNECT_PATH, MESSAGE_BYTES_MAX, SERVICE_NAME, ServerMessage};

/// Messages to an agent.
pub(crate) type Outbound = ReceiverStream<Result<ServerMessage, Status>>;

/// Handles the one call of the service.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Starts a call: the answers come while the messages are read.
    fn connect(
        self: Arc<Self>,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Outbound>, Status>;
}

/// A handler as a tower service.
#[derive(Debug)]
pub(crate) struct AgentStreamService<H> {
    handler: Arc<H>,
}

impl<H> AgentStreamService<H> {
    pub(crate) const fn new(handler: Arc<H>) -> Self {
        Self { handler }
    }
}

impl<H> Clone for AgentStreamService<H> {
    fn clone(&self) -> Self {
        Self { handler: Arc::clone(&self.handler) }
    }
}

impl<H> NamedService for AgentStreamService<H> {
    const NAME: &'static str = SERVICE_NAME;
}

/// One call, as tonic's server wants it.
struct Connect<H>(Arc<H>);

impl<H: Handler> Service<Request<Streaming<AgentMessage>>> for Connect<H> {
    type Response = Response<Outbound>;
    type Error = Status;
    type Future = std::future::Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<AgentMessage>>) -> Self::Future {
        std::future::ready(Arc::clone(&self.0).connect(request))
    }
}

impl<H: Handler> Service<http::Request<Body>> for AgentStreamService<H> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let handler = Arc::clone(&self.handler);
        Box::pin(async move {
            if request.uri().path() != CONNECT_PATH {
                return Ok(Status::unimplemented("the service has one call: Connect").into_http());
            }
            let codec = ProstCodec::<ServerMessage, AgentMessage>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.streaming(Connect(handler), request).await)
        })
    }
}
