//! The log endpoint, as the API server asks it.

use crate::lab::{DEADLINE, Lab, TOKEN, is_ready, shell};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status code and body of a GET.
async fn get(lab: &Lab, path: &str, token: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(lab.logs_address()).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(DEADLINE, read).await.expect("in time").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (code, unchunk(head, body))
}

fn unchunk(head: &str, body: &str) -> String {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut out, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        out.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_served_as_a_kubelet_serves_them() {
    let lab = Lab::start().await;
    let script = "for n in 1 2 3; do echo run $HOSTNAME line $n; done; [ -e go ] && exec sleep 1000; : > go; exit 1";
    lab.create_one(
        "web",
        json!({"name": "main", "image": "host", "command": shell(script),
            "workingDir": lab.dir.path().to_str().unwrap()}),
    )
    .await;
    let restarted = |pod: &serde_json::Value| {
        is_ready(pod) && pod["status"]["containerStatuses"][0]["restartCount"] == 1
    };
    lab.until("web", restarted).await;
    let path = "/containerLogs/default/web/main";
    let all = "run web line 1\nrun web line 2\nrun web line 3\n";
    let written = async {
        while get(&lab, path, TOKEN).await.1 != all {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, written).await.expect("written");
    let ask = async |query: &str| get(&lab, &format!("{path}?{query}"), TOKEN).await;
    assert_eq!(ask("tailLines=1").await, (200, "run web line 3\n".to_owned()));
    assert_eq!(ask("limitBytes=5").await, (200, "run w".to_owned()));
    assert_eq!(ask("previous=true").await, (200, all.to_owned()));
    assert_eq!(ask("sinceSeconds=3600&tailLines=2").await.1.lines().count(), 2);
    assert_eq!(ask("sinceTime=2020-01-01T00:00:00Z").await.1, all);
    assert_eq!(ask("sinceTime=2120-01-01T00:00:00Z").await.1, "");
    let stamped = ask("timestamps=true&tailLines=1").await.1;
    let (stamp, rest) = stamped.split_once(' ').expect("a time");
    assert!(stamp.ends_with('Z') && rest == "run web line 3\n", "{stamped}");

    assert_eq!(get(&lab, path, "wrong").await.0, 401);
    assert_eq!(get(&lab, "/containerLogs/default/web/nope", TOKEN).await.0, 404);
    assert_eq!(get(&lab, "/containerLogs/default/nope/main", TOKEN).await.0, 404);
    assert_eq!(ask("tailLines=x").await.0, 400);

    let following = async {
        let query = format!("{path}?follow=true");
        get(&lab, &query, TOKEN).await
    };
    let deleting = async { lab.delete("web").await };
    let ((code, text), ()) = tokio::join!(following, deleting);
    assert_eq!((code, text.as_str()), (200, all), "a followed log ends with its container");
}
