//! Manifests of the tests. `MARK` is a word by which the processes of one test are found.

/// Two pods that sleep, and ask for no CPU.
pub(crate) fn sleepers(mark: &str) -> String {
    deployment("sleeper", 2, "", &format!("[sleep, '600', '0.{mark}']"))
}

/// A deployment of one container on the host.
pub(crate) fn deployment(name: &str, replicas: u32, requests: &str, command: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      runtimeClassName: process
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: host
          command: {command}
          resources: {{requests: {{{requests}}}}}
"
    )
}

/// A pod of its own.
pub(crate) fn pod(name: &str, restart_policy: &str, command: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default}}
spec:
  runtimeClassName: process
  restartPolicy: {restart_policy}
  terminationGracePeriodSeconds: 1
  containers:
    - {{name: main, image: host, command: {command}}}
"
    )
}

/// Holds a deployment at half of the CPU that it asks for.
pub(crate) fn autoscaler(name: &str, target: &str, min: u32, max: u32) -> String {
    format!(
        "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {name}, namespace: default}}
spec:
  minReplicas: {min}
  maxReplicas: {max}
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}
  metrics:
    - type: Resource
      resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}
"
    )
}
