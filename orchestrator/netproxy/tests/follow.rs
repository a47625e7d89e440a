//! The proxy follows the Services and Endpoints of an API server.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use futures::StreamExt;
use prometheus::Registry;
use serde_json::{Value, json};
use swell_client::Client;
use swell_env::SystemClock;
use swell_netproxy::{Config, NetProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

/// What the API server holds of one kind: one object, replaced now and then.
type Object = watch::Sender<Value>;

async fn collection(
    State((object, kind)): State<(Object, &'static str)>,
    Query(query): Query<Vec<(String, String)>>,
) -> axum::response::Response {
    let is_watch = query.iter().any(|(name, value)| name == "watch" && value == "true");
    if !is_watch {
        let list = json!({
            "apiVersion": "v1",
            "kind": format!("{kind}List"),
            "metadata": {"resourceVersion": "1"},
            "items": [*object.borrow()],
        });
        return axum::response::IntoResponse::into_response(Json(list));
    }
    let lines = WatchStream::from_changes(object.subscribe()).map(|object| {
        Ok::<_, std::io::Error>(format!("{}\n", json!({"type": "MODIFIED", "object": object})))
    });
    axum::response::Response::new(Body::from_stream(lines))
}

fn endpoints(addresses: &[std::net::SocketAddr]) -> Value {
    let subsets: Vec<Value> = addresses
        .iter()
        .map(|at| {
            let target = json!({"kind": "Pod", "name": format!("pod-{}", at.port())});
            json!({
                "addresses": [{"ip": at.ip().to_string(), "targetRef": target}],
                "ports": [{"port": at.port()}],
            })
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"namespace": "default", "name": "echo", "resourceVersion": "2"},
        "subsets": subsets,
    })
}

/// A server that says its name to each connection and hangs up.
async fn greeter(name: &'static str, address: &str) -> std::net::SocketAddr {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(name.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_cluster_are_carried_out() {
    let front = TcpListener::bind("127.79.0.1:0").await.unwrap().local_addr().unwrap();
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "echo", "resourceVersion": "1"},
        "spec": {"clusterIP": front.ip().to_string(), "ports": [{"port": front.port()}]},
    });
    let a = greeter("a", "127.79.0.2:0").await;
    let b = greeter("b", "127.79.0.3:0").await;
    let (services, behind) = (Object::new(service), Object::new(endpoints(&[a])));
    let of = |object: &Object, kind| get(collection).with_state((object.clone(), kind));
    let router: Router = Router::new()
        .route("/api/v1/services", of(&services, "Service"))
        .route("/api/v1/endpoints", of(&behind, "Endpoints"));

    let config = Config { endpoint_wait: swell_model::DurationMs(20), ..Config::node("n1") };
    let proxy = NetProxy::new(config, Arc::new(SystemClock::new()), &Registry::new()).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(proxy.clone().run(Client::in_process(router), stop.clone()));
    let greeted_by = async |expected: &str| {
        let greeted = async {
            loop {
                let mut said = String::new();
                if let Ok(mut stream) = TcpStream::connect(front).await
                    && stream.read_to_string(&mut said).await.is_ok()
                    && said == expected
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, greeted).await.expect("the change is carried out in time");
    };
    greeted_by("a").await;
    behind.send_replace(endpoints(&[b]));
    greeted_by("b").await;
    assert!(proxy.is_drained(a.ip()) && !proxy.is_drained(b.ip()));
    behind.send_replace(endpoints(&[]));
    greeted_by("").await;

    stop.cancel();
    tokio::time::timeout(DEADLINE, running).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(front).await.is_err(), "nobody listens any more");
}
