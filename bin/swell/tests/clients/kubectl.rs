//! `kubectl --kubeconfig DATA_DIR/kubeconfig`, with a node that runs pods.

use std::path::Path;
use std::process::{Command, Stdio};

use swell_lab::tools;

use crate::harness::workloads::{autoscaler, deployment};
use crate::harness::{Folder, Server, has, texts, wait_for};

/// Says hello and sleeps.
const HELLO: &str = "[sh, -c, 'echo hello from $HOSTNAME; exec sleep 600']";

struct Kubectl<'a> {
    program: &'a Path,
    home: &'a Folder,
    server: &'a Server,
}

impl Kubectl<'_> {
    /// A command that must succeed; what it prints.
    #[track_caller]
    fn must(&self, line: &str) -> String {
        let output = Command::new(self.program)
            .arg("--kubeconfig")
            .arg(self.server.data_dir.join("kubeconfig"))
            .args(line.split(' '))
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .output()
            .expect("kubectl starts");
        let (code, stdout, stderr) = texts(&output);
        assert_eq!(code, 0, "kubectl {line}: {stderr}");
        stdout
    }
}

#[test]
fn kubectl_shows_deployments_pods_autoscalers_and_nodes_live() {
    let Some(program) = tools::kubectl() else { return };
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &["--with-agent", "--node-name", "n1"]);
    let kubectl = Kubectl { program: &program, home: &folder, server: &server };
    let web = deployment("web", 2, "cpu: 100m", HELLO);
    let manifest =
        folder.file("web.yaml", &format!("{web}---\n{}", autoscaler("web", "web", 2, 5)));
    has(&kubectl.must(&format!("apply -f {manifest}")), &["deployment.apps/web created"]);
    kubectl.must("rollout status deployment/web --timeout=60s");
    // Idle pods use next to nothing: the autoscaler shows it as soon as it has measured.
    let shown = wait_for("a measured utilisation", || {
        let shown = kubectl.must("get deploy,pods,hpa,nodes");
        shown.contains("cpu: 0%/50%").then_some(shown)
    });
    has(
        &shown,
        &[
            "deployment.apps/web   2/2",
            "pod/web-",
            "1/1     Running",
            "horizontalpodautoscaler.autoscaling/web   Deployment/web   cpu: 0%/50%   2         5         2",
            "node/n1   Ready",
        ],
    );
    let pods = kubectl.must("get pods -o name");
    let pod = pods.lines().next().expect("a pod");
    has(&kubectl.must(&format!("logs {pod}")), &["hello from"]);
    has(&kubectl.must("describe hpa web"), &["ScalingActive", "ValidMetricFound"]);
    // The autoscaler would take a size set by hand back at its next look.
    kubectl.must("delete hpa web");
    kubectl.must("scale deployment/web --replicas=3");
    wait_for("three pods", || {
        let shown = kubectl.must("get deploy web");
        shown.contains("3/3").then_some(())
    });
    kubectl.must("delete deployment web");
    wait_for("the end of the pods", || {
        kubectl.must("get pods -o name").trim().is_empty().then_some(())
    });
    assert_eq!(server.stop(), 0);
}
