use serde_json::{Value, json};

use super::{PrepareError, hpa_v1_from_v2, hpa_v2_from_v1};
use crate::registry::by_kind;
use crate::schema::{Schema, normalize};

/// Normalizes, defaults and validates; returns the faults as the API would print them.
fn check(object: &Value, expected: &[&str]) {
    assert_eq!(faults(object, None), expected, "{object}");
}

fn faults(object: &Value, old: Option<&Value>) -> Vec<String> {
    let outcome = prepared(object).and_then(|new| {
        let old = old.map(prepared).transpose()?;
        let resource = resource(&new);
        (resource.rules.validate)(&new, old.as_ref()).map(|()| new)
    });
    match outcome {
        Ok(_) => Vec::new(),
        Err(PrepareError::Invalid(faults)) => faults.iter().map(ToString::to_string).collect(),
        Err(PrepareError::Shape(error)) => panic!("{error}: {object}"),
    }
}

fn resource(object: &Value) -> &'static crate::ResourceType {
    let text = |name: &str| object[name].as_str().expect("given");
    by_kind(text("apiVersion"), text("kind")).expect("known kind")
}

fn prepared(object: &Value) -> Result<Value, PrepareError> {
    let resource = resource(object);
    let message = Schema::get().message(resource.message).expect("defined");
    let normalized = normalize(message, object.clone()).expect("types fit");
    assert_eq!(normalized.unknown, Vec::<String>::new());
    (resource.rules.default)(normalized.object)
}

fn with(mut object: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').expect("a pointer");
        object.pointer_mut(parent).expect("parent exists")[last] = value.clone();
    }
    object
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "host"}]}
            }
        }
    })
}

fn hpa() -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1, "maxReplicas": 6
        }
    })
}

#[test]
fn a_deployment_gets_kubernetes_defaults() {
    let object = prepared(&deployment()).expect("valid");
    let spec = &object["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["strategy"]["rollingUpdate"],
        json!({"maxSurge": "25%", "maxUnavailable": "25%"})
    );
    assert_eq!(spec["revisionHistoryLimit"], 10);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Always");
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(prepared(&object).expect("valid"), object, "defaulting twice changes nothing");
}

#[test]
fn faults_of_a_deployment_name_field_and_rule() {
    check(&deployment(), &[]);
    check(
        &with(deployment(), &[("/spec/template/metadata", json!({"labels": {"app": "db"}}))]),
        &[
            "spec.template.metadata.labels: Invalid value: {\"app\":\"db\"}: `selector` does not match template `labels`",
        ],
    );
    check(
        &with(deployment(), &[("/spec/replicas", json!(-1))]),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        &with(
            deployment(),
            &[
                ("/spec/template/spec/containers", json!([])),
                ("/spec/strategy", json!({"type": "Sometimes"})),
            ],
        ),
        &[
            "spec.template.spec.containers: Required value",
            "spec.strategy.type: Unsupported value: \"Sometimes\": supported values: \"Recreate\", \"RollingUpdate\"",
        ],
    );
    check(
        &with(
            deployment(),
            &[(
                "/spec/strategy",
                json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            )],
        ),
        &[
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ],
    );
    let moved = with(
        deployment(),
        &[
            ("/spec/selector", json!({"matchLabels": {"app": "db"}})),
            ("/spec/template/metadata", json!({"labels": {"app": "db"}})),
        ],
    );
    assert_eq!(
        faults(&moved, Some(&deployment())),
        ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"db\"}}: field is immutable"]
    );
}

#[test]
fn faults_of_a_container_name_its_index() {
    let container = |fields: Value| {
        let mut container = json!({"name": "c", "image": "host"});
        for (name, value) in fields.as_object().expect("an object") {
            container[name] = value.clone();
        }
        with(deployment(), &[("/spec/template/spec/containers", json!([container]))])
    };
    for (fields, fault) in [
        (json!({"image": ""}), "image: Required value"),
        (
            json!({"ports": [{"containerPort": 70000}]}),
            "ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            "resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            json!({"readinessProbe": {}}),
            "readinessProbe: Required value: must specify a handler type",
        ),
        (
            json!({"livenessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 0}}),
            "livenessProbe.periodSeconds: Invalid value: 0: must be greater than or equal to 1",
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
            "volumeMounts[0].name: Not found: \"v\"",
        ),
        (
            json!({"imagePullPolicy": "Often"}),
            "imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
    ] {
        check(&container(fields), &[&format!("spec.template.spec.containers[0].{fault}")]);
    }
}

#[test]
fn impossible_autoscalers_are_refused() {
    check(&hpa(), &[]);
    for (changes, expected) in [
        (
            vec![("/spec/minReplicas", json!(3)), ("/spec/maxReplicas", json!(1))],
            "spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`",
        ),
        (
            vec![("/spec/minReplicas", json!(0))],
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        ),
        (
            vec![("/spec/scaleTargetRef", json!({"kind": "Deployment"}))],
            "spec.scaleTargetRef.name: Required value",
        ),
        (
            vec![("/spec/metrics", json!([{"type": "Resource"}]))],
            "spec.metrics[0].resource: Required value: must populate information for the given metric source",
        ),
        (
            vec![(
                "/spec/metrics",
                json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]),
            )],
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
        ),
        (
            vec![("/spec/behavior", json!({"scaleDown": {"stabilizationWindowSeconds": 9999}}))],
            "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 9999: must be between 0 and 3600, inclusive",
        ),
    ] {
        check(&with(hpa(), &changes), &[expected]);
    }
    let mut without_target = hpa();
    without_target["spec"].as_object_mut().expect("an object").remove("scaleTargetRef");
    check(
        &without_target,
        &["spec.scaleTargetRef.kind: Required value", "spec.scaleTargetRef.name: Required value"],
    );
}

#[test]
fn an_autoscaler_of_version_1_is_a_view_of_version_2() {
    let mut v2 = prepared(&with(
        hpa(),
        &[
            ("/spec/metrics", json!([
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}
            ])),
            ("/spec/behavior", json!({"scaleDown": {"stabilizationWindowSeconds": 10}})),
        ],
    ))
    .expect("valid");
    v2["metadata"]["annotations"] = json!({"own": "kept"});
    let v1 = hpa_v1_from_v2(v2.clone());
    assert_eq!(v1["apiVersion"], "autoscaling/v1");
    assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 50);
    assert!(v1["spec"]["metrics"].is_null());
    let message = Schema::get().message("autoscaling.v1.HorizontalPodAutoscaler").expect("defined");
    let normalized = normalize(message, v1.clone()).expect("types fit");
    assert_eq!(normalized.unknown, Vec::<String>::new());
    assert_eq!(hpa_v2_from_v1(v1).expect("annotations are JSON"), v2);
}

#[test]
fn services_and_pods_keep_what_may_not_change() {
    let service = |ip: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIP": ip, "ports": [{"port": 80}]}
        })
    };
    assert_eq!(prepared(&service("")).expect("valid")["spec"]["ports"][0]["targetPort"], 80);
    assert_eq!(
        faults(&service("127.96.0.9"), Some(&service("127.96.0.8"))),
        ["spec.clusterIP: Invalid value: \"127.96.0.9\": field is immutable"]
    );
    let pod = |image: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": image}]}
        })
    };
    assert_eq!(faults(&pod("b:1", "n1"), Some(&pod("a:1", "n1"))), Vec::<String>::new());
    assert_eq!(faults(&pod("a:1", "n2"), Some(&pod("a:1", "n1"))).len(), 1);
    assert_eq!(prepared(&pod("a", "n1")).expect("valid")["status"]["phase"], "Pending");
}

#[test]
fn secrets_take_texts_and_config_maps_refuse_odd_keys() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hello"}
    });
    let stored = prepared(&secret).expect("valid");
    assert_eq!(stored["data"], json!({"a": "aGVsbG8="}));
    assert!(stored["stringData"].is_null());
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a b": "x"}
    });
    assert_eq!(faults(&config_map, None).len(), 1);
    let badly_named = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A_b"}});
    assert!(
        faults(&badly_named, None)[0]
            .starts_with("metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123")
    );
}
