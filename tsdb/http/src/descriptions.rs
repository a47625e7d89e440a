//! `/metadata` and `/targets/metadata`: what metrics are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use swell_model::{Labels, MetricDescription, MetricMetadata};

use crate::answer::{closed, opened, response, success};
use crate::encode::{comma, labels as write_labels, string};
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;
use crate::targets::DescribedTarget;

/// Families in the order of their names.
type Families = Arc<[Arc<MetricDescription>]>;

/// What is said of one family.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'a str,
    unit: &'a str,
}

impl<'a> From<&'a MetricMetadata> for Entry<'a> {
    fn from(metadata: &'a MetricMetadata) -> Self {
        let MetricMetadata { kind, help, unit } = metadata;
        Self { kind: kind.as_str(), help, unit }
    }
}

/// What is said of each metric family: by the targets that are scraped, and what was stored last, which is also said by
/// those that push. What a target said that is gone stays as long as it was the last one.
pub(crate) async fn metadata(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let families_max = count_max(&params, "limit")?.unwrap_or(usize::MAX);
    let entries_max = count_max(&params, "limit_per_metric")?.filter(|max| *max > 0);
    let entries_max = entries_max.unwrap_or(usize::MAX);
    let wanted = params.get("metric").filter(|metric| !metric.is_empty()).map(str::to_owned);
    let asked = Arc::clone(&api);
    api.run(params.client(), api.config.timeout, Arc::default(), move || {
        let lists = distinct(asked.targets.described());
        let stored = asked.db.metadata();
        let shown: BTreeMap<&str, Vec<Entry<'_>>> = entries(&lists, &stored, wanted.as_deref())
            .into_iter()
            .take(families_max)
            .map(|(name, said)| (name, said.into_iter().take(entries_max).collect()))
            .collect();
        Ok(success(&shown))
    })
    .await
}

/// What the targets that the selector `match_target` matches (all without it) say of their metrics.
pub(crate) async fn target_metadata(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let matchers = match params.get("match_target").filter(|text| !text.is_empty()) {
        None => Vec::new(),
        Some(text) => {
            let selector = swell_promql_syntax::parse_any_selector(text)
                .map_err(|error| ApiError::bad_param("match_target", error.to_string()))?;
            selector.matchers
        }
    };
    let limit = count_max(&params, "limit")?.unwrap_or(usize::MAX);
    let wanted = params.get("metric").filter(|metric| !metric.is_empty()).map(str::to_owned);
    let matches = move |labels: &Labels| {
        matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
    };
    let asked = Arc::clone(&api);
    let cancelled = Arc::<AtomicBool>::default();
    let unwanted = cancelled.clone();
    let found = api
        .run(params.client(), api.config.timeout, cancelled, move || {
            let mut targets = asked.targets.described();
            targets.retain(|target| matches(&target.labels));
            targets.sort_by(|one, other| one.labels.cmp(&other.labels));
            let mut list = opened();
            list.push('[');
            let mut count = 0;
            for target in &targets {
                if unwanted.load(Ordering::Relaxed) {
                    return Err(ApiError::timeout("nobody waits for the answer any more"));
                }
                // As upstream: the limit is looked at between targets.
                if count >= limit {
                    break;
                }
                write_target(&mut list, target, wanted.as_deref(), &mut count);
            }
            list.push(']');
            Ok(closed(list, &[], &[]))
        })
        .await?;
    Ok(response(found))
}

/// Entries of one target; the name of the metric is not in them where the question names it.
fn write_target(
    out: &mut String,
    target: &DescribedTarget,
    wanted: Option<&str>,
    count: &mut usize,
) {
    for family in chosen(&target.families, wanted) {
        comma(out, *count);
        *count += 1;
        out.push_str(r#"{"target":"#);
        write_labels(out, &target.labels);
        let Entry { kind, help, unit } = Entry::from(&family.metadata);
        let name = wanted.is_none().then_some(("metric", family.metric_name.as_str()));
        let texts = [("type", kind), ("help", help), ("unit", unit)];
        for (key, text) in name.into_iter().chain(texts) {
            out.push(',');
            string(out, key);
            out.push(':');
            string(out, text);
        }
        out.push('}');
    }
}

/// The families of a list that are asked for.
fn chosen<'a>(
    families: &'a [Arc<MetricDescription>],
    wanted: Option<&str>,
) -> &'a [Arc<MetricDescription>] {
    let Some(wanted) = wanted else { return families };
    let at = families.partition_point(|family| family.metric_name.as_str() < wanted);
    let found = families.get(at).is_some_and(|family| family.metric_name == wanted);
    families.get(at..at + usize::from(found)).unwrap_or_default()
}

/// The lists that targets have, each once: those that tell the same share one.
fn distinct(targets: Vec<DescribedTarget>) -> Vec<Families> {
    let mut lists: Vec<Families> = targets.into_iter().map(|target| target.families).collect();
    lists.sort_unstable_by_key(|list| Arc::as_ptr(list).cast::<()>());
    lists.dedup_by(|one, other| Arc::ptr_eq(one, other));
    lists
}

/// Entries of each family, each once.
fn entries<'a>(
    lists: &'a [Families],
    stored: &'a BTreeMap<String, MetricMetadata>,
    wanted: Option<&str>,
) -> BTreeMap<&'a str, BTreeSet<Entry<'a>>> {
    let mut entries: BTreeMap<&str, BTreeSet<Entry<'_>>> = BTreeMap::new();
    for family in lists.iter().flat_map(|list| chosen(list, wanted)) {
        entries.entry(&family.metric_name).or_default().insert(Entry::from(&family.metadata));
    }
    for (name, metadata) in stored {
        if wanted.is_none_or(|wanted| wanted == name.as_str()) {
            entries.entry(name).or_default().insert(Entry::from(metadata));
        }
    }
    entries
}

/// A number of things at most, if one is given; below 0 is any number, as upstream.
fn count_max(params: &Params, name: &'static str) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let max: i64 = text
        .parse()
        .map_err(|_| ApiError::bad_param(name, format!("{text:?} is not a whole number")))?;
    Ok(usize::try_from(max).ok())
}

#[cfg(test)]
mod tests {
    use swell_model::MetricKind;

    use super::*;

    fn family(name: &str, help: &str) -> Arc<MetricDescription> {
        let metadata =
            MetricMetadata { kind: MetricKind::Gauge, help: help.to_owned(), unit: String::new() };
        Arc::new(MetricDescription { metric_name: name.to_owned(), metadata })
    }

    #[test]
    fn one_metric_is_found_in_a_list() {
        let families = ["a", "b", "d"].map(|name| family(name, ""));
        for (wanted, expected) in
            [(None, 3), (Some("a"), 1), (Some("d"), 1), (Some("c"), 0), (Some("e"), 0)]
        {
            assert_eq!(chosen(&families, wanted).len(), expected, "{wanted:?}");
        }
    }

    #[test]
    fn what_several_say_is_there_once_for_each_thing_said() {
        let shared: Families = vec![family("a", "x"), family("b", "y")].into();
        let other: Families = vec![family("a", "z")].into();
        let targets = [&shared, &other, &shared].map(|families| DescribedTarget {
            labels: Labels::empty(),
            families: Arc::clone(families),
        });
        let lists = distinct(targets.into());
        assert_eq!(lists.len(), 2);
        let pushed = family("c", "w").metadata.clone();
        let last = family("a", "z").metadata.clone();
        let stored = BTreeMap::from([("a".to_owned(), last), ("c".to_owned(), pushed)]);
        let said: Vec<_> = entries(&lists, &stored, None)
            .into_iter()
            .map(|(name, said)| (name, said.iter().map(|it| it.help).collect::<Vec<_>>().join(" ")))
            .collect();
        let expected = [("a", "x z"), ("b", "y"), ("c", "w")].map(|(n, s)| (n, s.to_owned()));
        assert_eq!(said, expected);
        assert_eq!(entries(&lists, &stored, Some("b")).len(), 1);
    }
}
