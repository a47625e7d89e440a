//! `swell server`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Process, ask, get, swell, texts, wait_for};

/// A server that was ready once.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) kube: SocketAddr,
    pub(crate) data_dir: PathBuf,
}

impl Server {
    /// Starts a server on free ports and waits until it is ready.
    pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(swell(), data_dir, [any; 3], more)
    }

    /// Starts it anew where it was before.
    pub(crate) fn start_again(data_dir: &Path, before: [SocketAddr; 3], more: &[&str]) -> Self {
        Self::start_at(swell(), data_dir, before, more)
    }

    /// Starts a server on free ports after a line of shell, such as one with `ulimit`.
    pub(crate) fn start_under(line: &str, data_dir: &Path, more: &[&str]) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{line}; exec \"$0\" \"$@\"")]);
        command.arg(swell().get_program());
        Self::start_at(command, data_dir, [any; 3], more)
    }

    fn start_at(
        mut command: Command,
        data_dir: &Path,
        [http, grpc, kube]: [SocketAddr; 3],
        more: &[&str],
    ) -> Self {
        command
            .args(["server", "--listen-http", &http.to_string()])
            .args(["--listen-grpc", &grpc.to_string(), "--listen-kube", &kube.to_string()])
            .arg("--data-dir")
            .arg(data_dir)
            .args(more);
        let mut process = Process::spawn(&mut command);
        let after = |line: &str, mark: &str| -> Option<SocketAddr> {
            let rest = line.split_once(mark)?.1;
            rest.split([' ', ')', '/']).next()?.parse().ok()
        };
        let http = process.line("the web address", |line| {
            after(line, "web UI      http://").or_else(|| after(line, "web UI      https://"))
        });
        let kube = process.line("the API's address", |line| after(line, "(https://"));
        let grpc = process.line("the agents' address", |line| after(line, "agents      --server "));
        Self { process, http, grpc, kube, data_dir: data_dir.to_owned() }
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> [SocketAddr; 3] {
        [self.http, self.grpc, self.kube]
    }

    /// GET; status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path)
    }

    /// POST without a body; status and body.
    pub(crate) fn post(&self, path: &str) -> (u16, String) {
        ask(self.http, "POST", path)
    }

    /// `data` of a good answer of the Prometheus API.
    pub(crate) fn data(&self, path: &str) -> Value {
        let (code, body) = self.get(path);
        assert_eq!(code, 200, "{path}: {body}");
        let mut answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["data"].take()
    }

    /// The answer to an instant query.
    pub(crate) fn query(&self, promql: &str) -> Vec<Value> {
        let (code, stdout, stderr) = self.cli(&["query", promql, "--output", "json"]);
        assert_eq!(code, 0, "{promql}: {stderr}");
        let mut answer: Value = serde_json::from_str(&stdout).expect("JSON");
        let result = answer.pointer_mut("/data/result").unwrap_or(&mut Value::Null).take();
        let Value::Array(series) = result else { panic!("no result in {stdout}") };
        series
    }

    /// A client verb against this server.
    pub(crate) fn cli(&self, args: &[&str]) -> (i32, String, String) {
        let output = swell()
            .env("KUBECONFIG", self.data_dir.join("kubeconfig"))
            .env("SWELL_SERVER", format!("http://{}", self.http))
            .args(args)
            .output()
            .expect("the binary runs");
        texts(&output)
    }

    /// A client verb that must succeed; what it prints.
    #[track_caller]
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.cli(args);
        assert_eq!(code, 0, "swell {args:?}: {stderr}");
        stdout
    }

    /// One object as JSON.
    #[track_caller]
    pub(crate) fn object(&self, what: &str) -> Value {
        serde_json::from_str(&self.must(&["get", what, "-o", "json"])).expect("JSON")
    }

    /// The pods of the default namespace that are not on their way out, by name.
    #[track_caller]
    pub(crate) fn pods(&self) -> Vec<Value> {
        let mut list = self.object("pods");
        let mut pods = match list["items"].take() {
            Value::Array(pods) => pods,
            _ => Vec::new(),
        };
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods.sort_by_key(|pod| pod["metadata"]["name"].as_str().map(str::to_owned));
        pods
    }

    /// Waits until so many pods are ready; answers each with how its container has fared.
    #[track_caller]
    pub(crate) fn ready_pods(&self, count: usize) -> Vec<Fate> {
        wait_for("that number of ready pods", || {
            let fates: Vec<Fate> = self.pods().iter().filter_map(Fate::of_ready).collect();
            (fates.len() == count).then_some(fates)
        })
    }

    /// `False FailedGetScale message` of a condition of an autoscaler.
    #[track_caller]
    pub(crate) fn condition(&self, hpa: &str, kind: &str) -> Option<String> {
        let object = self.object(&format!("hpa/{hpa}"));
        let conditions = object["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == kind)?;
        let word = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        Some(format!("{} {} {}", word("status"), word("reason"), word("message")))
    }

    /// SIGKILL, as a crash would.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM; the exit status.
    pub(crate) fn stop(self) -> i32 {
        self.process.stop()
    }
}

/// What must not change for a pod that nobody touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) container_id: String,
    pub(crate) started_at: String,
    pub(crate) restarts: i64,
    pub(crate) last_exit_code: Option<i64>,
}

impl Fate {
    fn of_ready(pod: &Value) -> Option<Self> {
        let status = &pod["status"]["containerStatuses"][0];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        status["ready"].as_bool()?.then_some(())?;
        Some(Self {
            pod: text(&pod["metadata"]["name"])?,
            uid: text(&pod["metadata"]["uid"])?,
            container_id: text(&status["containerID"])?,
            started_at: text(&status["state"]["running"]["startedAt"])?,
            restarts: status["restartCount"].as_i64()?,
            last_exit_code: status["lastState"]["terminated"]["exitCode"].as_i64(),
        })
    }
}
