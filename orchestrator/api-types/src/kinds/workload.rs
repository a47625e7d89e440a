//! Deployments and replica sets.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{self, NameForm};
use super::pod::validate_template;
use super::pod_defaults;
use crate::fault::{FieldFault, Path};
use crate::selector;

type Faults = Vec<FieldFault>;

const REVISION_HISTORY_LIMIT: i32 = 10;
const PROGRESS_DEADLINE_S: i32 = 600;
const IMMUTABLE: &str = "field is immutable";
const AT_LEAST_ZERO: &str = "must be greater than or equal to 0";

pub(crate) fn default_deployment(deployment: &mut Deployment) {
    let spec = deployment.spec.get_or_insert_default();
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(REVISION_HISTORY_LIMIT);
    spec.progress_deadline_seconds.get_or_insert(PROGRESS_DEADLINE_S);
    let strategy = spec.strategy.get_or_insert_default();
    let type_ = strategy.type_.get_or_insert_with(|| "RollingUpdate".to_owned());
    if type_ == "RollingUpdate" {
        let quarter = || IntOrString::String("25%".to_owned());
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_surge.get_or_insert_with(quarter);
        rolling.max_unavailable.get_or_insert_with(quarter);
    }
    pod_defaults::template(&mut spec.template);
    deployment.status.get_or_insert_default();
}

pub(crate) fn default_replica_set(replica_set: &mut ReplicaSet) {
    let spec = replica_set.spec.get_or_insert_default();
    spec.replicas.get_or_insert(1);
    if let Some(template) = &mut spec.template {
        pod_defaults::template(template);
    }
    replica_set.status.get_or_insert_default();
}

pub(crate) fn validate_deployment(
    deployment: &Deployment,
    old: Option<&Deployment>,
    faults: &mut Faults,
) {
    let old_metadata = old.map(|old| &old.metadata);
    meta::validate(&deployment.metadata, old_metadata, NameForm::Subdomain, faults);
    let path = Path::new("spec");
    let Some(spec) = &deployment.spec else {
        faults.push(path.required(""));
        return;
    };
    validate_selector_and_template(&spec.selector, Some(&spec.template), &path, faults);
    at_least_zero(spec.replicas, &path.field("replicas"), faults);
    at_least_zero(spec.min_ready_seconds, &path.field("minReadySeconds"), faults);
    at_least_zero(spec.revision_history_limit, &path.field("revisionHistoryLimit"), faults);
    validate_progress_deadline(spec, &path, faults);
    if let Some(strategy) = &spec.strategy {
        validate_strategy(strategy, &path.field("strategy"), faults);
    }
    if let Some(old) = old.and_then(|old| old.spec.as_ref())
        && old.selector != spec.selector
    {
        faults.push(path.field("selector").invalid(as_value(&spec.selector), IMMUTABLE));
    }
}

pub(crate) fn validate_replica_set(
    replica_set: &ReplicaSet,
    old: Option<&ReplicaSet>,
    faults: &mut Faults,
) {
    let old_metadata = old.map(|old| &old.metadata);
    meta::validate(&replica_set.metadata, old_metadata, NameForm::Subdomain, faults);
    let path = Path::new("spec");
    let Some(spec) = &replica_set.spec else {
        faults.push(path.required(""));
        return;
    };
    validate_selector_and_template(&spec.selector, spec.template.as_ref(), &path, faults);
    at_least_zero(spec.replicas, &path.field("replicas"), faults);
    at_least_zero(spec.min_ready_seconds, &path.field("minReadySeconds"), faults);
    if let Some(old) = old.and_then(|old| old.spec.as_ref())
        && old.selector != spec.selector
    {
        faults.push(path.field("selector").invalid(as_value(&spec.selector), IMMUTABLE));
    }
}

fn as_value<T: serde::Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).expect("API types always serialize")
}

fn at_least_zero(number: Option<i32>, path: &Path, faults: &mut Faults) {
    if let Some(number) = number
        && number < 0
    {
        faults.push(path.invalid(number, AT_LEAST_ZERO));
    }
}

fn validate_selector_and_template(
    selector: &LabelSelector,
    template: Option<&PodTemplateSpec>,
    path: &Path,
    faults: &mut Faults,
) {
    let selector_path = path.field("selector");
    let template_path = path.field("template");
    let is_empty = selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    if is_empty {
        faults.push(selector_path.required("must select at least one label of the pods"));
    } else {
        meta::validate_selector(selector, &selector_path, faults);
    }
    let Some(template) = template else {
        faults.push(template_path.required(""));
        return;
    };
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    if let Ok(parsed) = selector::LabelSelector::from_spec(selector)
        && !is_empty
        && !parsed.matches(labels)
    {
        faults.push(
            template_path
                .field("metadata")
                .field("labels")
                .invalid(as_value(&labels), "`selector` does not match template `labels`"),
        );
    }
    validate_template(template, &template_path, faults);
}

fn validate_progress_deadline(spec: &DeploymentSpec, path: &Path, faults: &mut Faults) {
    let path = path.field("progressDeadlineSeconds");
    at_least_zero(spec.progress_deadline_seconds, &path, faults);
    if let Some(deadline) = spec.progress_deadline_seconds
        && deadline <= spec.min_ready_seconds.unwrap_or_default()
    {
        faults.push(path.invalid(deadline, "must be greater than minReadySeconds"));
    }
}

fn validate_strategy(strategy: &DeploymentStrategy, path: &Path, faults: &mut Faults) {
    match strategy.type_.as_deref().unwrap_or_default() {
        "Recreate" if strategy.rolling_update.is_some() => faults.push(
            path.field("rollingUpdate")
                .forbidden("may not be specified when strategy `type` is 'Recreate'"),
        ),
        "Recreate" => {}
        "RollingUpdate" => match &strategy.rolling_update {
            None => faults.push(
                path.field("rollingUpdate").required("this should be defaulted and never be nil"),
            ),
            Some(rolling) => validate_rolling(rolling, &path.field("rollingUpdate"), faults),
        },
        other => {
            faults.push(path.field("type").not_supported(other, &["Recreate", "RollingUpdate"]));
        }
    }
}

fn validate_rolling(rolling: &RollingUpdateDeployment, path: &Path, faults: &mut Faults) {
    let surge = share(rolling.max_surge.as_ref(), &path.field("maxSurge"), i32::MAX, faults);
    let unavailable_path = path.field("maxUnavailable");
    let unavailable = share(rolling.max_unavailable.as_ref(), &unavailable_path, 100, faults);
    if (surge, unavailable) == (Some(0), Some(0)) {
        faults.push(unavailable_path.invalid(0, "may not be 0 when `maxSurge` is 0"));
    }
}

/// The number of a count or of a percentage up to `percent_max`; reports what is neither.
fn share(
    value: Option<&IntOrString>,
    path: &Path,
    percent_max: i32,
    faults: &mut Faults,
) -> Option<i32> {
    match value? {
        IntOrString::Int(count) if *count < 0 => {
            faults.push(path.invalid(*count, AT_LEAST_ZERO));
            None
        }
        IntOrString::Int(count) => Some(*count),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<i32>().ok());
            match percent {
                Some(percent) if percent > percent_max => {
                    faults.push(path.invalid(text.as_str(), "must not be greater than 100%"));
                    None
                }
                Some(percent) if percent >= 0 => Some(percent),
                _ => {
                    faults.push(path.invalid(
                        text.as_str(),
                        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                    ));
                    None
                }
            }
        }
    }
}
