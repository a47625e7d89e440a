//! Endpoints as endpoint slices: one slice for each subset.

use serde_json::{Value, json};

/// The label by which clients find the slices of a service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// The slices of an `Endpoints` object: `NAME-0` for its first subset, and so on. Their uid and revision are
/// derived from the object's, so that they are stable.
#[must_use]
pub fn endpoint_slices(endpoints: &Value) -> Vec<Value> {
    let metadata = &endpoints["metadata"];
    let text = |field: &str| metadata[field].as_str().unwrap_or_default();
    let subsets = endpoints["subsets"].as_array();
    subsets
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(idx, subset)| {
            let list = |field: &str| subset[field].as_array().cloned().unwrap_or_default();
            let ready = list("addresses").into_iter().map(|address| endpoint(&address, true));
            let waiting =
                list("notReadyAddresses").into_iter().map(|address| endpoint(&address, false));
            let mut labels = metadata["labels"].as_object().cloned().unwrap_or_default();
            labels.insert(SERVICE_LABEL.to_owned(), json!(text("name")));
            labels.insert(MANAGED_BY_LABEL.to_owned(), json!("swell"));
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{}-{idx}", text("name")), "namespace": metadata["namespace"],
                    "uid": format!("{}-{idx}", text("uid")), "labels": labels,
                    "resourceVersion": metadata["resourceVersion"],
                    "creationTimestamp": metadata["creationTimestamp"],
                },
                "addressType": "IPv4", "endpoints": ready.chain(waiting).collect::<Vec<_>>(),
                "ports": list("ports").iter().map(port).collect::<Vec<_>>(),
            })
        })
        .collect()
}

/// Name and protocol are always there: clients rely on the defaults of this kind.
fn port(port: &Value) -> Value {
    json!({
        "name": port["name"].as_str().unwrap_or_default(),
        "port": port["port"],
        "protocol": port["protocol"].as_str().unwrap_or("TCP"),
    })
}

fn endpoint(address: &Value, ready: bool) -> Value {
    let mut endpoint = json!({
        "addresses": [address["ip"]],
        "conditions": {"ready": ready, "serving": ready, "terminating": false},
    });
    for (from, to) in
        [("nodeName", "nodeName"), ("targetRef", "targetRef"), ("hostname", "hostname")]
    {
        if !address[from].is_null() {
            endpoint[to] = address[from].clone();
        }
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Schema, normalize};

    #[test]
    fn each_subset_is_a_slice_of_the_schemas_shape() {
        let endpoints = json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u", "labels": {"app": "web"},
                "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "subsets": [
                {"addresses": [{"ip": "1.1.1.1", "nodeName": "n1"}], "notReadyAddresses": [{"ip": "1.1.1.2"}],
                 "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
                {"addresses": [{"ip": "1.1.1.3"}], "ports": [{"port": 81}]}
            ]
        });
        let slices = endpoint_slices(&endpoints);
        let message = Schema::get().message("discovery.v1.EndpointSlice").expect("defined");
        for (idx, slice) in slices.iter().enumerate() {
            let normalized = normalize(message, slice.clone()).expect("types fit");
            assert_eq!(normalized.unknown, Vec::<String>::new());
            assert_eq!(slice["metadata"]["name"], format!("web-{idx}"));
            assert_eq!(slice["metadata"]["labels"][SERVICE_LABEL], "web");
        }
        let ready: Vec<_> = slices[0]["endpoints"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|endpoint| (&endpoint["addresses"][0], &endpoint["conditions"]["ready"]))
            .collect();
        assert_eq!(ready, [(&json!("1.1.1.1"), &json!(true)), (&json!("1.1.1.2"), &json!(false))]);
        assert_eq!(slices.len(), 2);
    }
}
