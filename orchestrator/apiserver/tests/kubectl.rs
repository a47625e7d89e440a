//! A real kubectl against a real listener with TLS.
//!
//! Without a current kubectl the tests say so and pass; with `CI=true` they fail instead
//! ([`swell_lab::tools::kubectl`]).

mod harness;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use harness::Harness;
use serde_json::json;
use swell_apiserver::{Kubeconfig, KubeconfigUser};
use swell_env::{Clock as _, SystemClock};
use swell_http::pki::{Authority, ClientAuth, server_config};
use swell_http::{HttpMetrics, Server, bind};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// One command of kubectl must end in this time.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

struct Cluster {
    api: Harness,
    kubectl: PathBuf,
    home: tempfile::TempDir,
    address: std::net::SocketAddr,
}

impl Cluster {
    /// None when there is no kubectl.
    async fn start() -> Option<Self> {
        let kubectl = swell_lab::tools::kubectl()?;
        let agent_token = "agent-token";
        let api = Harness::with_agent_token(Some(agent_token.to_owned())).await;
        let home = tempfile::tempdir().expect("a temporary directory");
        let now = SystemClock::new().now();
        let authority = Authority::in_memory(now).expect("an authority");
        let identity = authority.issue_server("swell", &["127.0.0.1"], now).expect("a certificate");
        let tls = server_config(&identity, authority.certificate_pem(), ClientAuth::Optional);
        let listener =
            bind(([127, 0, 0, 1], 0).into(), "--listen-kube").await.expect("a free port");
        let metrics = HttpMetrics::register(&api.registry).expect("registers once");
        let server =
            Server::new("kube", listener, api.server.router(), &metrics).tls(tls.expect("TLS"));
        let address = server.local_addr().expect("bound");
        tokio::spawn(server.run(api.shutdown.clone()));
        let client = authority.issue_client("admin", "system:masters", now).expect("a certificate");
        for (file, user) in [
            (
                "kubeconfig",
                KubeconfigUser::Certificate {
                    certificate_pem: client.certificate_pem().to_owned(),
                    key_pem: client.key_pem().to_owned(),
                },
            ),
            ("token.kubeconfig", KubeconfigUser::Token(harness::TOKEN.to_owned())),
            ("wrong.kubeconfig", KubeconfigUser::Token("wrong".to_owned())),
        ] {
            let server = format!("https://{address}");
            let config =
                Kubeconfig { server, ca_pem: authority.certificate_pem().to_owned(), user };
            config.write(&home.path().join(file)).expect("writable");
        }
        Some(Self { api, kubectl, home, address })
    }

    fn command(&self, config: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(self.home.path().join(config))
            .args(args)
            .env("HOME", self.home.path())
            .env("KUBECTL_EXTERNAL_DIFF", "diff -u")
            .current_dir(self.home.path())
            .kill_on_drop(true);
        command
    }

    async fn output(&self, config: &str, args: &[&str]) -> Output {
        let run = self.command(config, args).stdin(Stdio::null()).output();
        tokio::time::timeout(COMMAND_DEADLINE, run)
            .await
            .unwrap_or_else(|_| panic!("kubectl {args:?} does not end"))
            .expect("kubectl starts")
    }

    /// Runs a command that must succeed; returns what it prints.
    async fn run(&self, line: &str) -> String {
        let args: Vec<&str> = line.split(' ').collect();
        self.run_args(&args).await
    }

    async fn run_args(&self, args: &[&str]) -> String {
        let output = self.output("kubeconfig", args).await;
        let (out, err) = texts(&output);
        assert!(output.status.success(), "kubectl {args:?}: {}\n{out}\n{err}", output.status);
        assert!(!err.contains("panic"), "kubectl {args:?}: {err}");
        out
    }

    /// Runs a command that must fail; returns what it complains.
    async fn fails(&self, line: &str) -> String {
        let args: Vec<&str> = line.split(' ').collect();
        let output = self.output("kubeconfig", &args).await;
        let (out, err) = texts(&output);
        assert!(!output.status.success(), "kubectl {line} should fail: {out}");
        err
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).expect("writable");
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn check_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "lacks {part:?}:\n{text}");
    }
}

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      runtimeClassName: process
      containers:
      - name: main
        image: host
        command: [sleep, "60"]
        ports: [{containerPort: 8080, name: http}]
        resources: {requests: {cpu: 100m, memory: 16Mi}}
        readinessProbe: {httpGet: {port: http, path: /ready}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 6
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 10}}
"#;

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {run: p1}}
spec: {containers: [{name: main, image: host, command: [sleep, "60"]}]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_applied_shown_changed_and_deleted() {
    let Some(k) = Cluster::start().await else { return };
    check_contains(&k.run("version").await, &["Server Version: v1.35.0+swell"]);
    let resources = k.run("api-resources").await;
    check_contains(&resources, &["deployments", "horizontalpodautoscalers", "hpa", "Endpoints"]);
    check_contains(&k.run("api-versions").await, &["apps/v1", "autoscaling/v1", "autoscaling/v2"]);
    k.write("web.yaml", WEB);
    let applied = k.run("apply -f web.yaml").await;
    check_contains(
        &applied,
        &[
            "deployment.apps/web created",
            "service/web created",
            "horizontalpodautoscaler.autoscaling/web created",
        ],
    );
    let applied = k.run("apply -f web.yaml").await;
    assert_eq!(applied.matches("unchanged").count(), 3, "{applied}");
    check_contains(
        &k.run("get deploy,svc,hpa").await,
        &[
            "NAME                  READY   UP-TO-DATE   AVAILABLE   AGE",
            "deployment.apps/web   0/2",
            "service/web   ClusterIP   127.96.0.1",
            "Deployment/web   cpu: <unknown>/50%",
        ],
    );
    check_contains(&k.run("get deploy web -o wide").await, &["CONTAINERS", "SELECTOR", "app=web"]);
    check_contains(
        &k.run("get deploy web -o yaml").await,
        &["runtimeClassName: process", "maxSurge: 25%"],
    );
    check_contains(&k.run("get all").await, &["deployment.apps/web", "service/web"]);
    check_contains(
        &k.run("describe deploy web").await,
        &["Replicas:               2 desired", "25% max unavailable"],
    );
    check_contains(
        &k.run("describe hpa web").await,
        &["Min replicas:", "resource cpu on pods", "50%"],
    );
    check_contains(&k.run("describe svc web").await, &["Selector:", "app=web", "127.96.0.1"]);
    let endpoints = json!({"metadata": {"name": "web"}, "subsets": [{"addresses": [{"ip": "127.64.0.1"}], "ports": [{"port": 8080}]}]});
    k.api.must("POST", "/api/v1/namespaces/default/endpoints", Some(endpoints)).await;
    check_contains(&k.run("describe svc web").await, &["127.64.0.1:8080"]);
    check_contains(&k.run("get endpointslices").await, &["web-0", "IPv4", "127.64.0.1"]);
    check_contains(&k.run("explain deploy.spec.replicas").await, &["FIELD: replicas <integer>"]);

    k.write(
        "web2.yaml",
        &WEB.replace("replicas: 2", "replicas: 3").replace("path: /ready", "path: /healthy"),
    );
    let diff = k.output("kubeconfig", &["diff", "-f", "web2.yaml"]).await;
    assert_eq!(diff.status.code(), Some(1), "a difference: {:?}", texts(&diff));
    check_contains(
        &texts(&diff).0,
        &["-  replicas: 2", "+  replicas: 3", "+            path: /healthy"],
    );
    check_contains(
        &k.run("apply -f web2.yaml --dry-run=server").await,
        &["deployment.apps/web configured (server dry run)"],
    );
    check_contains(&k.run("get deploy web").await, &["0/2"]);
    check_contains(
        &k.run("apply -f web2.yaml").await,
        &["deployment.apps/web configured", "service/web unchanged"],
    );
    check_contains(&k.run("scale deploy/web --replicas=4").await, &["scaled"]);
    check_contains(&k.run("get deploy web -o jsonpath={.spec.replicas}").await, &["4"]);
    k.run("set image deploy/web main=host:2").await;
    k.run("set env deploy/web A=1 B=2").await;
    k.run("set env deploy/web A-").await;
    let env = k.run("get deploy web -o jsonpath={.spec.template.spec.containers[0].env}").await;
    assert_eq!(env, r#"[{"name":"B","value":"2"}]"#);
    k.run("rollout pause deploy/web").await;
    k.run("rollout resume deploy/web").await;
    k.run("rollout restart deploy/web").await;
    k.run("label deploy web tier=front --overwrite").await;
    check_contains(
        &k.run("get deploy -l tier=front,app=web -o name").await,
        &["deployment.apps/web"],
    );
    k.run("annotate deploy web note=x").await;
    k.run(r#"patch deploy web -p {"spec":{"replicas":5}}"#).await;
    k.run(r#"patch deploy web --type=merge -p {"spec":{"replicas":6}}"#).await;
    k.run(
        r#"patch deploy web --type=json -p [{"op":"replace","path":"/spec/replicas","value":7}]"#,
    )
    .await;
    check_contains(
        &k.run("get deploy web -o jsonpath={.spec.replicas}{.metadata.labels.tier}").await,
        &["7front"],
    );
    k.run("replace -f web.yaml").await;
    check_contains(&k.run("get deploy web").await, &["0/2"]);
    check_contains(&k.run("delete -f web.yaml").await, &["deleted"]);
    check_contains(
        &k.fails("get deploy web").await,
        &["NotFound", "deployments.apps \"web\" not found"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn created_objects_come_as_protobuf_and_namespaces_go_with_their_content() {
    let Some(k) = Cluster::start().await else { return };
    k.run("create ns shop").await;
    check_contains(
        &k.run("get ns").await,
        &["default", "kube-node-lease", "kube-system", "shop", "Active"],
    );
    k.run("-n shop create configmap cm --from-literal=a=b").await;
    k.run("-n shop create secret generic se --from-literal=a=b").await;
    check_contains(&k.run("-n shop get secret se -o jsonpath={.data.a}").await, &["Yg=="]);
    k.run("-n shop create deployment web --image=host --replicas=2 -- sleep 60").await;
    k.run("-n shop autoscale deploy/web --min=1 --max=5 --cpu-percent=50").await;
    check_contains(&k.run("-n shop get hpa").await, &["Deployment/web", "50%"]);
    k.run("-n shop expose deploy web --port 80").await;
    k.run("-n shop run p9 --image=host --restart=Never -- sleep 60").await;
    check_contains(&k.run("-n shop get pods").await, &["p9", "Pending"]);
    check_contains(&k.run("-n shop get cm,secret").await, &["configmap/cm", "secret/se", "Opaque"]);
    check_contains(&k.run("-n shop describe pod p9").await, &["Status:", "Pending", "BestEffort"]);
    check_contains(&k.run("describe ns shop").await, &["Active"]);
    check_contains(&k.run("delete ns shop").await, &["deleted"]);
    check_contains(&k.fails("get ns shop").await, &["NotFound"]);
    check_contains(&k.fails("delete ns default").await, &["this namespace may not be deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_takes_over_and_conflicts() {
    let Some(k) = Cluster::start().await else { return };
    k.write("web.yaml", WEB);
    k.run("apply --server-side -f web.yaml").await;
    check_contains(&k.run("apply --server-side -f web.yaml").await, &["serverside-applied"]);
    k.write("web2.yaml", &WEB.replace("replicas: 2", "replicas: 9"));
    let conflict = k.fails("apply --server-side --field-manager=other -f web2.yaml").await;
    check_contains(&conflict, &["conflict with \"kubectl\"", ".spec.replicas"]);
    k.run("apply --server-side --field-manager=other --force-conflicts -f web2.yaml").await;
    check_contains(&k.run("get deploy web -o jsonpath={.spec.replicas}").await, &["9"]);
    k.run("apply -f web.yaml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_waits_and_deletions_end() {
    let Some(k) = Cluster::start().await else { return };
    k.write("pod.yaml", POD);
    let mut watch = k
        .command("kubeconfig", &["get", "pods", "-w", "--output-watch-events"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    k.run("create -f pod.yaml").await;
    let mut seen = Vec::new();
    let until = |seen: &[String], event: &str| seen.iter().any(|line| line.starts_with(event));
    while !until(&seen, "ADDED") {
        seen.extend(next_line(&mut lines).await);
    }
    let waiting = k
        .command("kubeconfig", &["wait", "--for=condition=Ready", "pod/p1", "--timeout=30s"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let path = format!("{}/p1/status", harness::PODS);
    k.api.call_as("PATCH", &path, "*/*", "application/merge-patch+json", Some(status)).await;
    let waited = tokio::time::timeout(COMMAND_DEADLINE, waiting.wait_with_output()).await;
    let waited = waited.expect("ends in time").expect("runs");
    check_contains(&texts(&waited).0, &["pod/p1 condition met"]);
    check_contains(&k.run("delete pod p1").await, &["deleted"]);
    while !until(&seen, "DELETED") {
        seen.extend(next_line(&mut lines).await);
    }
    assert!(
        seen.iter().any(|line| line.starts_with("MODIFIED") && line.contains("Running")),
        "{seen:?}"
    );
    watch.kill().await.expect("still running");
}

async fn next_line<R: tokio::io::AsyncBufRead + Unpin>(
    lines: &mut tokio::io::Lines<R>,
) -> Option<String> {
    let line = tokio::time::timeout(COMMAND_DEADLINE, lines.next_line()).await;
    line.expect("a line in time").expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_cordoned_tainted_and_drained_and_logs_come_from_their_agent() {
    let Some(k) = Cluster::start().await else { return };
    let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = agent.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(agent, agent_router()).await });
    let node = json!({
        "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "capacity": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "nodeInfo": {"kubeletVersion": "v1.35.0"}
        }
    });
    k.api.must("POST", "/api/v1/nodes", Some(node)).await;
    check_contains(&k.run("get nodes -o wide").await, &["n1", "Ready", "127.0.0.1"]);
    check_contains(&k.run("describe node n1").await, &["Allocatable:", "pods:", "110"]);
    k.write("pod.yaml", POD);
    k.run("create -f pod.yaml").await;
    let binding = json!({"target": {"name": "n1"}});
    k.api.must("POST", &format!("{}/p1/binding", harness::PODS), Some(binding)).await;
    let log = k.run("logs p1 --tail=5").await;
    assert_eq!(log, "/containerLogs/default/p1/main?tailLines=5 Some(\"Bearer agent-token\")\n");
    let missing = k.fails("logs p1 -c other").await;
    check_contains(&missing, &["container other is not valid for pod p1"]);
    k.run("cordon n1").await;
    check_contains(&k.run("get nodes").await, &["Ready,SchedulingDisabled"]);
    k.run("uncordon n1").await;
    k.run("taint node n1 k=v:NoSchedule").await;
    k.run("taint node n1 k-").await;
    let finished = json!({"status": {"phase": "Succeeded"}});
    let path = format!("{}/p1/status", harness::PODS);
    k.api.call_as("PATCH", &path, "*/*", "application/merge-patch+json", Some(finished)).await;
    check_contains(&k.run("drain n1 --force --timeout=30s").await, &["node/n1 drained"]);
    check_contains(&k.fails("get pod p1").await, &["NotFound"]);
    check_contains(&k.fails("top pods").await, &["Metrics API not available"]);
}

/// An agent that answers with what it was asked.
fn agent_router() -> Router {
    Router::new().fallback(|request: Request| async move {
        let token =
            request.headers().get("authorization").map(|value| value.to_str().map(str::to_owned));
        format!("{} {:?}\n", request.uri(), token.and_then(Result::ok))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_and_survived() {
    let Some(k) = Cluster::start().await else { return };
    k.write("indent.yaml", "apiVersion: v1\nkind: Pod\n  metadata: x\n");
    check_contains(&k.fails("apply -f indent.yaml").await, &["error converting YAML to JSON"]);
    k.write("typo.yaml", &WEB.replace("replicas: 2", "replica: 2"));
    check_contains(
        &k.fails("apply -f typo.yaml").await,
        &["strict decoding error: unknown field \"spec.replica\""],
    );
    k.write("type.yaml", &WEB.replace("replicas: 2", "replicas: two"));
    check_contains(
        &k.fails("apply -f type.yaml").await,
        &["spec.replicas: must be an integer, not the text"],
    );
    k.write("kind.yaml", "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: x}\n");
    check_contains(&k.fails("apply -f kind.yaml").await, &["no matches for kind \"Deploymnet\""]);
    k.write("hpa.yaml", &WEB.replace("minReplicas: 1", "minReplicas: 9"));
    check_contains(
        &k.fails("apply -f hpa.yaml").await,
        &["spec.maxReplicas: Invalid value: 6", "minReplicas"],
    );
    k.write("selector.yaml", &WEB.replace("matchLabels: {app: web}", "matchLabels: {app: db}"));
    check_contains(
        &k.fails("apply -f selector.yaml").await,
        &["`selector` does not match template `labels`"],
    );
    check_contains(
        &k.fails("get widgets").await,
        &["the server doesn't have a resource type \"widgets\""],
    );
    check_contains(
        &k.fails("get pods --field-selector spec.colour=red").await,
        &["field label not supported"],
    );
    k.write("warn.yaml", &POD.replace("command:", "comand:"));
    let warned = k.output("kubeconfig", &["create", "--validate=warn", "-f", "warn.yaml"]).await;
    check_contains(&texts(&warned).1, &["Warning: unknown field \"spec.containers[0].comand\""]);

    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff garbage", &[0; 4096]] {
        let mut socket = tokio::net::TcpStream::connect(k.address).await.expect("connects");
        socket.write_all(garbage).await.expect("writes");
        drop(socket);
    }
    let can = k.run("auth can-i create pods").await;
    assert_eq!(can.trim(), "yes");
    check_contains(&k.run("auth whoami").await, &["admin", "system:masters"]);
    let with_token = k.output("token.kubeconfig", &["get", "ns"]).await;
    assert!(with_token.status.success(), "{:?}", texts(&with_token));
    let refused = k.output("wrong.kubeconfig", &["get", "ns"]).await;
    assert!(!refused.status.success());
    check_contains(&texts(&refused).1, &["Unauthorized"]);
}
