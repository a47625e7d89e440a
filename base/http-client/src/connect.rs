//! Connections: straight, through a proxy, or to a socket in the file system.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;
use tower::{Service, ServiceExt as _};
use url::Url;

use crate::options::Secret;
use crate::proxy::{self, Proxy};
use crate::reach::Reach;
use crate::resolve::Resolver;

/// A proxy that answers a request for a tunnel says what it has to say in less.
const TUNNEL_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A peer that is silent for this long is asked by the kernel whether it is still there, which also keeps translators of addresses
/// from forgetting the connection; it is gone when it does not answer so many times, so far apart.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_RETRIES: u32 = 3;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no connection, where it is not the network's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the address {0} has no host")]
    NoHost(Uri),
    #[error("connect to the socket {}", path.display())]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("connect to the proxy {proxy}")]
    Proxy {
        proxy: String,
        #[source]
        source: BoxError,
    },
    #[error("the proxy {proxy} opens no tunnel to {target}: {answer:?}")]
    Tunnel { proxy: String, target: String, answer: String },
    #[error("a secret for the proxy is in {}, which cannot be read", path.display())]
    Secret {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Makes connections for one peer's options.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Network(Arc<Network>),
    Socket(PathBuf),
}

#[derive(Debug)]
struct Network {
    proxy: Proxy,
    /// Connects to proxies, which are whom the operator named.
    to_proxies: HttpConnector<Resolver>,
    reach: Arc<Reach>,
}

impl Connector {
    /// Over the network to addresses in reach, where a name's addresses have their turns if so said.
    pub(crate) fn network(proxy: Proxy, reach: Reach, by_turns: bool) -> Self {
        let reach = Arc::new(reach);
        let tcp = Self::tcp(Resolver::new(Arc::clone(&reach), by_turns));
        let to_proxies = Self::tcp(Resolver::standard());
        Self { tcp, way: Way::Network(Arc::new(Network { proxy, to_proxies, reach })) }
    }

    fn tcp(resolver: Resolver) -> HttpConnector<Resolver> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE_AFTER));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        tcp
    }

    pub(crate) fn socket(path: PathBuf) -> Self {
        Self { tcp: Self::tcp(Resolver::standard()), way: Way::Socket(path) }
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tcp = self.tcp.clone();
        match self.way.clone() {
            Way::Socket(path) => Box::pin(async move {
                match UnixStream::connect(&path).await {
                    Ok(stream) => Ok(Link::new(Either::Right(stream), false)),
                    Err(source) => Err(ConnectError::Socket { path, source }.into()),
                }
            }),
            Way::Network(network) => Box::pin(async move {
                let Network { proxy, to_proxies, reach } = &*network;
                let scheme = uri.scheme_str().unwrap_or("http").to_owned();
                let host = uri.host().ok_or_else(|| ConnectError::NoHost(uri.clone()))?.to_owned();
                let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
                // Names are checked as they are resolved.
                reach.check(&host)?;
                let Some(through) = proxy.of(&scheme, &host, port) else {
                    let stream = tcp.oneshot(uri).await?.into_inner();
                    return Ok(Link::new(Either::Left(stream), false));
                };
                let shown = shown(through);
                let at: Uri = shown.parse()?;
                let stream = to_proxies.clone().oneshot(at).await.map_err(|source| {
                    ConnectError::Proxy { proxy: shown.clone(), source: source.into() }
                })?;
                let mut stream = stream.into_inner();
                if scheme == "https" {
                    let target = format!("{host}:{port}");
                    tunnel(&mut stream, &target, through, &shown, proxy).await?;
                }
                Ok(Link::new(Either::Left(stream), scheme != "https"))
            }),
        }
    }
}

/// A proxy's address without who asks.
fn shown(proxy: &Url) -> String {
    let (host, port) = proxy::host_and_port(proxy).unwrap_or_default();
    if host.contains(':') {
        format!("http://[{host}]:{port}")
    } else {
        format!("http://{host}:{port}")
    }
}

/// Asks a proxy for a tunnel, RFC 9110 section 9.3.6.
async fn tunnel(
    stream: &mut TcpStream,
    target: &str,
    through: &Url,
    shown: &str,
    proxy: &Proxy,
) -> Result<(), BoxError> {
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(credentials) = proxy::credentials(through) {
        head.push_str(&format!("Proxy-Authorization: {credentials}\r\n"));
    }
    for (name, value) in &proxy.connect_headers {
        let value = reveal(value).await?;
        http::HeaderValue::from_str(&value)?;
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // A byte at a time: what follows the head is the target's.
        answer.push(stream.read_u8().await?);
        if answer.len() > TUNNEL_ANSWER_BYTES_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.lines().next().unwrap_or_default();
    if status.split(' ').nth(1).is_some_and(|code| code.len() == 3 && code.starts_with('2')) {
        return Ok(());
    }
    let (proxy, target) = (shown.to_owned(), target.to_owned());
    Err(ConnectError::Tunnel { proxy, target, answer: status.to_owned() }.into())
}

async fn reveal(secret: &Secret) -> Result<String, ConnectError> {
    let read = secret.reveal().await;
    read.map_err(|(path, source)| ConnectError::Secret { path, source })
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    io: TokioIo<Either<TcpStream, UnixStream>>,
    /// Whether requests on it name the whole address, since a proxy reads them.
    proxied: bool,
}

impl Link {
    fn new(stream: Either<TcpStream, UnixStream>, proxied: bool) -> Self {
        Self { io: TokioIo::new(stream), proxied }
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied)
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
