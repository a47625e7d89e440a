//! `log` of a pod: read from the agent of its node.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{Empty, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use std::time::Duration;
use swell_api_types::by_plural;

use crate::failure::Failure;
use crate::object::meta_text;
use crate::query::Query;
use crate::read::stored;
use crate::route::Target;
use crate::shared::Shared;

/// The agent must begin to answer in this time.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// So much of an agent's complaint is shown.
const COMPLAINT_BYTES_MAX: usize = 4096;
/// Which container kubectl takes when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Parameters that the agent is given as they are.
const PASSED_ON: &[&str] =
    &["follow", "previous", "timestamps", "tailLines", "sinceSeconds", "sinceTime", "limitBytes"];

/// Reads logs from node agents, over plain HTTP on the node's address, with the agents' token.
pub(crate) struct AgentLogs {
    client: Client<HttpConnector, Empty<Bytes>>,
    token: Option<header::HeaderValue>,
}

impl AgentLogs {
    /// `token` is what agents demand; a token that no header can carry is refused.
    pub(crate) fn new(token: Option<&str>) -> Result<Self, header::InvalidHeaderValue> {
        let client =
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http();
        let token = token.map(|token| {
            let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.trim()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self { client, token: token.transpose()? })
    }
}

/// Answers a GET of `log`.
pub(crate) async fn answer(
    shared: &Shared,
    target: &Target,
    name: &str,
    query: &Query,
) -> Result<Response, Failure> {
    let pod = stored(shared, target, name).await?;
    let container = container(&pod, name, query.get("container"))?;
    let node_name = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty());
    let node_name = node_name
        .ok_or_else(|| Failure::bad_request(format!("pod {name} does not have a host assigned")))?;
    let nodes = by_plural("", "v1", "nodes").ok_or_else(Failure::no_such_path)?;
    let node_target = Target { resource: nodes, namespace: None, name: None, subresource: None };
    let node = stored(shared, &node_target, node_name).await?;
    let authority = agent_address(&node).ok_or_else(|| {
        Failure::unavailable(format!("node {node_name} has not told where its agent listens"))
    })?;
    let namespace = meta_text(&pod, "namespace");
    let mut uri = format!("http://{authority}/containerLogs/{namespace}/{name}/{container}");
    let mut separator = '?';
    for parameter in PASSED_ON {
        if let Some(value) = query.get(parameter) {
            let plain =
                value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:.+TZ".contains(&byte));
            if !plain {
                return Err(Failure::bad_request(format!("{parameter}: Invalid value: {value:?}")));
            }
            uri.push_str(&format!("{separator}{parameter}={}", value.replace('+', "%2B")));
            separator = '&';
        }
    }
    let mut request = Request::get(uri);
    if let Some(token) = &shared.agent_logs.token {
        request = request.header(header::AUTHORIZATION, token.clone());
    }
    let request =
        request.body(Empty::new()).map_err(|error| Failure::bad_request(error.to_string()))?;
    let answer = tokio::time::timeout(ANSWER_DEADLINE, shared.agent_logs.client.request(request));
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return Err(Failure::unavailable(format!(
                "the agent of node {node_name} cannot be reached at {authority}: {}",
                swell_telemetry::chain(&error)
            )));
        }
        Err(_) => {
            return Err(Failure::unavailable(format!(
                "the agent of node {node_name} did not answer at {authority}"
            )));
        }
    };
    if answer.status() == StatusCode::OK {
        let headers =
            [(header::CONTENT_TYPE, "text/plain"), (header::CACHE_CONTROL, "no-cache, private")];
        return Ok((headers, Body::new(answer.into_body())).into_response());
    }
    let code = answer.status();
    let complaint = read_complaint(answer.into_body()).await;
    Err(match code {
        StatusCode::BAD_REQUEST => Failure::bad_request(complaint),
        StatusCode::NOT_FOUND => {
            let mut failure = Failure::no_such_path();
            failure.message = complaint;
            failure
        }
        _ => Failure::unavailable(format!(
            "the agent of node {node_name} answered {code}: {complaint}"
        )),
    })
}

async fn read_complaint<B>(body: B) -> String
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    use http_body_util::BodyExt as _;
    let limited = Limited::new(body, COMPLAINT_BYTES_MAX);
    let Ok(read) = tokio::time::timeout(ANSWER_DEADLINE, limited.collect()).await else {
        return "(its complaint did not end)".to_owned();
    };
    match read {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        Err(error) if error.is::<LengthLimitError>() => "(a long complaint)".to_owned(),
        Err(error) => format!("(its complaint could not be read: {error})"),
    }
}

/// The container to read: the one asked for, the default one, or the only one.
fn container<'p>(pod: &'p Value, pod_name: &str, asked: Option<&str>) -> Result<&'p str, Failure> {
    let names = |list: &str| {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect::<Vec<_>>()
    };
    let (own, init) = (names("containers"), names("initContainers"));
    let wanted = asked.or_else(|| pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str());
    match (wanted, own.as_slice()) {
        (Some(wanted), own) => {
            let found = own.iter().chain(&init).find(|name| **name == wanted).copied();
            found.ok_or_else(|| {
                Failure::bad_request(format!("container {wanted} is not valid for pod {pod_name}"))
            })
        }
        (None, [only]) => Ok(only),
        (None, several) => Err(Failure::bad_request(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]",
            several.join(" ")
        ))),
    }
}

/// Address and port of a node's agent.
fn agent_address(node: &Value) -> Option<String> {
    let status = &node["status"];
    let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64()?;
    let addresses = status["addresses"].as_array()?;
    let of = |kind: &str| addresses.iter().find(|address| address["type"] == kind);
    let address = of("InternalIP").or_else(|| of("Hostname"))?["address"].as_str()?;
    Some(if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    async fn check(text: &'static str, ends: bool, expected: &str) {
        let begin = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(text)))]);
        let end = stream::pending().take(usize::from(!ends));
        assert_eq!(read_complaint(StreamBody::new(begin.chain(end))).await, expected, "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_complaint_is_read_within_bounds() {
        check("no such file\n", true, "no such file").await;
        check("no such", false, "(its complaint did not end)").await;
        let long = "x".repeat(COMPLAINT_BYTES_MAX + 1).leak();
        check(long, true, "(a long complaint)").await;
    }
}
