//! Carries out one check.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use swell_runtime::{ContainerId, ContainerRuntime, RuntimeError};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Check, HttpCheck};

/// How much of an answer is quoted in an event.
const BODY_BYTES_SHOWN: usize = 512;

/// What is checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckTarget {
    pub(crate) runtime: Arc<dyn ContainerRuntime>,
    pub(crate) container: ContainerId,
    /// The pod's address.
    pub(crate) address: IpAddr,
}

/// Carries out `check`; a failure says why in the words of the kubelet where it has some.
pub(crate) async fn run_check(
    target: &CheckTarget,
    check: &Check,
    limit: Duration,
) -> Result<(), String> {
    match check {
        Check::Exec { command } => run_exec(target, command, limit).await,
        Check::Tcp { host, port } => {
            let connect = connect(target.address, host.as_deref(), *port);
            timeout(limit, connect).await.map_err(|_| too_slow(limit))?.map(drop)
        }
        Check::Http(http) => {
            let status = run_http(target.address, http, limit).await?;
            if (200..400).contains(&status.code) {
                Ok(())
            } else {
                Err(format!("HTTP probe failed with statuscode: {}{}", status.code, status.excerpt))
            }
        }
    }
}

async fn run_exec(target: &CheckTarget, command: &[String], limit: Duration) -> Result<(), String> {
    match target.runtime.exec(&target.container, command.to_vec(), limit).await {
        Ok(output) if output.exit_code == 0 => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.output);
            let text = text.trim();
            let code = output.exit_code;
            Err(if text.is_empty() {
                format!("command ended with exit code {code}")
            } else {
                text.to_owned()
            })
        }
        Err(RuntimeError::ExecTimeout { timeout }) => {
            Err(format!("command timed out after {timeout:?}"))
        }
        Err(error) => Err(swell_telemetry::chain(&error)),
    }
}

/// An answer to an HTTP check.
struct HttpAnswer {
    code: u16,
    /// The beginning of the body, for messages; empty or `, body: …`.
    excerpt: String,
}

/// Sends the GET of a check.
async fn run_http(
    address: IpAddr,
    check: &HttpCheck,
    limit: Duration,
) -> Result<HttpAnswer, String> {
    timeout(limit, get(address, check)).await.map_err(|_| too_slow(limit))?
}

async fn get(address: IpAddr, check: &HttpCheck) -> Result<HttpAnswer, String> {
    let stream = connect(address, check.host.as_deref(), check.port).await?;
    let host = check.host.clone().unwrap_or_else(|| address.to_string());
    let mut request = Request::get(&check.path)
        .header(header::USER_AGENT, concat!("kube-probe/swell-", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close");
    if !check.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header(header::HOST, format!("{host}:{}", check.port));
    }
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| format!("bad HTTP probe: {error}"))?;
    let failed = |error: hyper::Error| {
        format!("Get \"http://{host}:{}{}\": {error}", check.port, check.path)
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        let code = answer.status().as_u16();
        let mut excerpt = String::new();
        if !(200..400).contains(&code) {
            let mut body = answer.into_body();
            if let Some(frame) = body.frame().await {
                let frame = frame.map_err(failed)?;
                let bytes = frame.data_ref().map_or(&[][..], |bytes| bytes);
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(BODY_BYTES_SHOWN)]);
                if !shown.trim().is_empty() {
                    excerpt = format!(", body: {}", shown.trim());
                }
            }
        }
        Ok(HttpAnswer { code, excerpt })
    };
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The connection is driven along; what it has received is still there when it ends first.
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(failed(error)),
        },
    }
}

async fn connect(address: IpAddr, host: Option<&str>, port: u16) -> Result<TcpStream, String> {
    let connected = match host {
        None => TcpStream::connect(SocketAddr::new(address, port)).await,
        Some(host) => TcpStream::connect((host, port)).await,
    };
    connected.map_err(|error| {
        let host = host.map_or_else(|| address.to_string(), str::to_owned);
        format!("dial tcp {host}:{port}: {error}")
    })
}

fn too_slow(limit: Duration) -> String {
    format!("no answer within {limit:?}")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Answers one request with `answer`; gives the request.
    async fn server(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (port, served)
    }

    fn http(port: u16, headers: &[(&str, &str)]) -> HttpCheck {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        HttpCheck { host: None, port, path: "/ready?x=1".to_owned(), headers }
    }

    #[tokio::test]
    async fn an_http_check_asks_as_the_kubelet_does() {
        let (port, served) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        let answer = run_http(LOCAL, &http(port, &[("Host", "shop"), ("X-A", "b")]), LIMIT).await;
        assert_eq!(answer.map(|answer| answer.code), Ok(204));
        let request = served.await.unwrap();
        assert!(request.starts_with("GET /ready?x=1 HTTP/1.1\r\n"), "{request}");
        let lower = request.to_lowercase();
        for header in ["user-agent: kube-probe/", "host: shop\r\n", "x-a: b\r\n", "accept: */*"] {
            assert!(lower.contains(header), "{header} is missing in {request}");
        }
        assert_eq!(lower.matches("host:").count(), 1);
    }

    #[tokio::test]
    async fn what_an_unhealthy_server_says_is_quoted() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nno db yet";
        let (port, _served) = server(answer).await;
        let answer = run_http(LOCAL, &http(port, &[]), LIMIT).await.unwrap();
        assert_eq!((answer.code, answer.excerpt.as_str()), (503, ", body: no db yet"));
    }

    #[tokio::test]
    async fn a_closed_port_and_a_silent_server_fail() {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = run_http(LOCAL, &http(port, &[]), Duration::from_millis(50)).await;
        assert!(silent.is_err_and(|why| why.contains("no answer")));
        drop(listener);
        let closed = run_http(LOCAL, &http(port, &[]), LIMIT).await;
        assert!(closed.is_err_and(|why| why.contains("refused")));
    }
}
