//! Questions of a client about itself: may I, what may I, who am I.

use serde_json::{Value, json};

use crate::auth::{ADMIN_GROUP, Attempt, User, is_allowed};
use crate::route::Review;

/// Answers a review.
pub(crate) fn answer(review: Review, user: &User, mut object: Value) -> Value {
    let (group, version, kind, _) = review.names();
    object["apiVersion"] = json!(format!("{group}/{version}"));
    object["kind"] = json!(kind);
    object["status"] = match review {
        Review::Access => access(user, &object["spec"]),
        Review::Rules => rules(user),
        Review::Identity => json!({"userInfo": {"username": user.name, "groups": user.groups}}),
    };
    object
}

fn access(user: &User, spec: &Value) -> Value {
    let asked = &spec["resourceAttributes"];
    if asked.is_object() {
        let text = |field: &str| asked[field].as_str().unwrap_or_default();
        let attempt = Attempt {
            verb: text("verb"),
            group: text("group"),
            plural: text("resource"),
            subresource: text("subresource"),
            namespace: asked["namespace"].as_str().filter(|text| !text.is_empty()),
        };
        return if is_allowed(user, &attempt) {
            json!({"allowed": true})
        } else {
            json!({"allowed": false, "reason": attempt.refusal(user)})
        };
    }
    let verb = spec["nonResourceAttributes"]["verb"].as_str().unwrap_or_default();
    let is_admin = user.groups.iter().any(|group| group == ADMIN_GROUP);
    json!({"allowed": is_admin || verb == "get"})
}

fn rules(user: &User) -> Value {
    let is_admin = user.groups.iter().any(|group| group == ADMIN_GROUP);
    let resource_rules = if is_admin {
        json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}])
    } else {
        json!([])
    };
    json!({
        "resourceRules": resource_rules, "incomplete": !is_admin,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi/*", "/readyz", "/version"]}],
    })
}
