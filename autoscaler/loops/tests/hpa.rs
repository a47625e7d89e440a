//! A HorizontalPodAutoscaler over the real API server and controllers, with scripted load.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Event;
use parking_lot::Mutex;
use serde_json::{Value, json};
use swell_autoscaler_loops::{
    Config, Dependencies, Journal, PodAutoscaler, PodMetricSource, PodSample, Resource,
    SourceError, Usage, router,
};
use swell_client::{Client, ListParams, Object};
use swell_lab::{Lab, eventually};
use swell_model::{DurationMs, TimestampMs};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt as _;

const NAMESPACE: Option<&str> = Some("default");

/// A load in thousandths of a core, shared evenly by the pods asked about.
struct Load {
    milli: Mutex<Result<i64, SourceError>>,
}

impl PodMetricSource for Load {
    fn pod_usage(
        &self,
        _namespace: &str,
        pods: &[Arc<str>],
        _resource: &Resource,
        now: TimestampMs,
    ) -> Result<Vec<PodSample>, SourceError> {
        let each = self.milli.lock().clone()? / i64::try_from(pods.len().max(1)).expect("few pods");
        let sample = |pod: &Arc<str>| PodSample {
            pod: Arc::clone(pod),
            at: now,
            window: DurationMs(10),
            usage: Usage::Containers([("c".into(), each)].into()),
        };
        Ok(pods.iter().map(sample).collect())
    }
}

struct World {
    lab: Lab,
    client: Client,
    load: Arc<Load>,
    journal: Journal,
    _journal_dir: TempDir,
}

impl World {
    async fn start() -> Self {
        let lab = Lab::in_memory().await.expect("a lab");
        lab.add_node("n1", 4, Duration::from_millis(20));
        let (client, shutdown) = (lab.client.clone(), lab.shutdown());
        let load = Arc::new(Load { milli: Mutex::new(Ok(0)) });
        let (bump, samples) = watch::channel(TimestampMs(0));
        let journal_dir = tempfile::tempdir().expect("a folder");
        let dependencies = Dependencies {
            client: client.clone(),
            pods: lab.caches.pods.clone(),
            source: Arc::clone(&load) as Arc<dyn PodMetricSource>,
            samples,
            clock: Arc::clone(&lab.clock),
        };
        let config = Config::new(journal_dir.path().join("decisions"));
        let autoscaler =
            PodAutoscaler::new(config, dependencies, &lab.registry).expect("an autoscaler");
        let journal = autoscaler.journal();
        tokio::spawn(autoscaler.run(shutdown.clone()));
        let (stop, ticking) = (shutdown, Arc::clone(&lab.clock));
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(30)).await;
                bump.send_replace(ticking.now());
            }
        });
        Self { lab, client, load, journal, _journal_dir: journal_dir }
    }

    fn set_load(&self, milli: i64) {
        *self.load.milli.lock() = Ok(milli);
    }

    async fn apply<K: Object>(&self, object: Value) {
        let object = K::from_json(&object).expect("an object");
        self.client.create(&object).await.expect("created");
    }

    async fn deploy(&self, replicas: i32, resources: Value) {
        self.apply::<Deployment>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": "a", "resources": resources}]}}},
        }))
        .await;
    }

    async fn scale_by_cpu(&self, target: &str) {
        self.scale_by_cpu_as("web", target).await;
    }

    async fn scale_by_cpu_as(&self, name: &str, target: &str) {
        self.apply::<HorizontalPodAutoscaler>(json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"minReplicas": 1, "maxReplicas": 6,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 50}}}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}]}}},
        }))
        .await;
    }

    async fn replicas(&self) -> i32 {
        let found = self.client.get::<Deployment>(NAMESPACE, "web").await.expect("it exists");
        found.spec.and_then(|spec| spec.replicas).unwrap_or(0)
    }

    async fn ready(&self) -> i32 {
        let found = self.client.get::<Deployment>(NAMESPACE, "web").await.expect("it exists");
        found.status.and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    /// `True FailedGetResourceMetric message` of a condition.
    async fn condition(&self, kind: &str) -> String {
        self.condition_of("web", kind).await
    }

    async fn condition_of(&self, name: &str, kind: &str) -> String {
        let hpa =
            self.client.get::<HorizontalPodAutoscaler>(NAMESPACE, name).await.expect("it exists");
        let conditions = hpa.status.and_then(|status| status.conditions).unwrap_or_default();
        conditions
            .into_iter()
            .find(|condition| condition.type_ == kind)
            .map(|found| {
                let reason = found.reason.unwrap_or_default();
                format!("{} {reason} {}", found.status, found.message.unwrap_or_default())
            })
            .unwrap_or_default()
    }

    async fn events(&self, reason: &str) -> Vec<String> {
        let events = self.client.list::<Event>(NAMESPACE, &ListParams::default()).await;
        let events = events.expect("a list").items.into_iter();
        events
            .filter(|event| event.reason.as_deref() == Some(reason))
            .filter_map(|event| event.message)
            .collect()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let request = axum::http::Request::get(path).body(Body::empty()).expect("a request");
        let router = router(self.journal.clone(), Arc::clone(&self.lab.clock));
        let answer = router.oneshot(request).await.expect("an answer");
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (code, serde_json::from_slice(&body).expect("JSON"))
    }
}

fn requests() -> Value {
    json!({"requests": {"cpu": "100m"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_scales_a_deployment_out_and_back() {
    let world = World::start().await;
    world.set_load(45);
    world.deploy(1, requests()).await;
    world.scale_by_cpu("web").await;
    eventually("a metric is found", || async {
        world.condition("ScalingActive").await.starts_with("True ValidMetricFound")
    })
    .await;
    assert_eq!(world.replicas().await, 1);

    world.set_load(240);
    eventually("five replicas are ready", || async { world.ready().await == 5 }).await;
    eventually("the start of the first new pod is noted", || async {
        let (_, found) = world.get("/api/swell/v1/decisions?kind=hpa&name=web").await;
        let out = found["decisions"]
            .as_array()
            .and_then(|all| all.iter().find(|decision| decision["direction"] == "out"));
        out.is_some_and(|out| {
            out["times"]["ready_ms"].is_i64() && out["times"]["acted_ms"].is_i64()
        })
    })
    .await;

    world.set_load(20);
    eventually("one replica is left", || async {
        world.replicas().await == 1 && world.ready().await == 1
    })
    .await;

    let (code, found) =
        world.get("/api/swell/v1/decisions?namespace=default&name=web&limit=50").await;
    assert_eq!(code, 200);
    let decisions = found["decisions"].as_array().expect("a list");
    let out = decisions.iter().find(|decision| decision["direction"] == "out").expect("one out");
    assert_eq!((&out["from"], &out["reason"]), (&json!(1), &json!("AsAsked")));
    assert!(
        out["sentence"].as_str().expect("a text").starts_with("CPU was 240 % of request"),
        "{out}"
    );
    let stages: Vec<&str> = out["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter_map(|step| step["stage"].as_str())
        .collect();
    assert_eq!(
        stages,
        ["current", "asked", "tolerance", "stabilisation", "rate_limit", "bounds", "final"]
    );
    assert!(decisions.iter().any(|decision| decision["reason"] == "ScaleDownStabilized"));
    assert!(decisions.iter().any(|decision| decision["direction"] == "in"));

    let at = out["at_ms"].as_i64().expect("a time");
    let (code, explained) =
        world.get(&format!("/api/swell/v1/explain/Deployment/default/web?at={at}")).await;
    assert_eq!((code, &explained["id"]), (200, &out["id"]));
    let (code, error) = world.get("/api/swell/v1/explain/hpa/default/other").await;
    assert_eq!((code, &error["errorType"]), (404, &json!("not_found")));
    assert_eq!(world.get("/api/swell/v1/decisions?from=soon").await.0, 400);

    eventually("the rescales are told", || async {
        world.events("SuccessfulRescale").await.len() >= 2
    })
    .await;
    let told = world.events("SuccessfulRescale").await;
    let expected =
        "New size: 5; reason: cpu resource utilization (percentage of request) above target";
    assert!(told.iter().any(|message| message == expected), "{told:?}");
    let names: Vec<String> =
        world.lab.registry.gather().iter().map(|family| family.name().to_owned()).collect();
    for name in [
        "swell_autoscaler_decisions_total",
        "swell_autoscaler_replicas",
        "swell_autoscaler_sample_to_decision_seconds",
    ] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_fails_holds_the_size() {
    let world = World::start().await;
    world.set_load(150);
    world.deploy(3, requests()).await;
    world.scale_by_cpu("web").await;
    eventually("a metric is found", || async {
        world.condition("ScalingActive").await.starts_with("True")
    })
    .await;
    *world.load.milli.lock() = Err(SourceError::Unavailable("the store is away".to_owned()));
    eventually("the failure shows", || async {
        world.condition("ScalingActive").await
            == "False FailedGetResourceMetric the HPA was unable to compute the replica count: failed to get cpu \
                utilization: unable to get metrics for resource cpu: the store is away"
    })
    .await;
    assert_eq!(world.replicas().await, 3);
    let (_, record) = world.get("/api/swell/v1/explain/hpa/default/web").await;
    assert_eq!(record["reason"], "MetricsUnavailable");
    world.set_load(270);
    eventually("it goes on", || async { world.replicas().await == 6 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_policies_say_what_is_missing() {
    let world = World::start().await;
    world.set_load(500);
    world.scale_by_cpu("nowhere").await;
    eventually("the missing target is named", || async {
        let text = world.condition("AbleToScale").await;
        text.starts_with("False FailedGetScale") && text.contains("nowhere")
    })
    .await;
    let (_, record) = world.get("/api/swell/v1/explain/hpa/default/web").await;
    assert_eq!(record["reason"], "TargetUnreadable");
    let params = swell_client::DeleteParams::default();
    let deleted = world.client.delete::<HorizontalPodAutoscaler>(NAMESPACE, "web", &params).await;
    deleted.expect("deleted");
    world.deploy(1, json!({})).await;
    world.scale_by_cpu("web").await;
    eventually("the missing request is named", || async {
        let text = world.condition("ScalingActive").await;
        text.starts_with("False FailedGetResourceMetric")
            && text.contains("missing request for cpu in container c of Pod web-")
    })
    .await;
    assert_eq!(world.replicas().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_policies_on_one_target_are_told_and_scale_nothing() {
    let world = World::start().await;
    world.set_load(500);
    world.scale_by_cpu("web").await;
    world.scale_by_cpu_as("rival", "web").await;
    // Both wait for the target before it comes, so that neither of them is first.
    for name in ["web", "rival"] {
        eventually("the target is missed", || async {
            world.condition_of(name, "AbleToScale").await.starts_with("False FailedGetScale")
        })
        .await;
    }
    world.deploy(1, requests()).await;
    for (name, other) in [("web", "rival"), ("rival", "web")] {
        eventually("the other is named", || async {
            let text = world.condition_of(name, "ScalingActive").await;
            text.starts_with("False AmbiguousSelector") && text.contains(other)
        })
        .await;
    }
    assert_eq!(world.replicas().await, 1, "neither has acted");
    let params = swell_client::DeleteParams::default();
    let deleted = world.client.delete::<HorizontalPodAutoscaler>(NAMESPACE, "rival", &params).await;
    deleted.expect("deleted");
    eventually("the one that is left acts", || async { world.replicas().await > 1 }).await;
}
