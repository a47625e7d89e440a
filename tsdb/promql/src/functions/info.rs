//! `info(v, {selector})`: adds the data labels of info series that identify the same target.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use swell_model::{Labels, METRIC_NAME, MatchOp, Matcher};
use swell_promql_syntax::Boundary;

use super::{EvalError, Evaluator, Grid, Node};
use crate::eval::{Column, SampleTime, Series, braced, merge_same_labels};
use crate::plan::{NodeKind, Selector, TimeShift, shared_time};

/// Labels by which an info series and the series it tells of are known to belong together.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The conditions of the second argument.
struct Wanted {
    /// On the info metric's name.
    names: Vec<Matcher>,
    /// On data labels: only these are added, all when there are none.
    data: Vec<Matcher>,
}

impl Wanted {
    fn of(args: &[Node]) -> Self {
        let matchers = match args.get(1).map(|arg| &arg.kind) {
            Some(NodeKind::Selector(selector)) => selector.matchers.as_slice(),
            _ => &[],
        };
        let (mut names, data): (Vec<_>, Vec<_>) =
            matchers.iter().cloned().partition(|matcher| matcher.name == METRIC_NAME);
        let positive =
            names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex));
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, "target_info"));
        } else if !positive {
            // Conditions that only exclude would take every metric for an info metric.
            let info = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info");
            names.push(info.expect("a constant pattern"));
        }
        Self { names, data }
    }

    /// Whether a series is itself one of the info series and therefore left as it is.
    fn is_info(&self, labels: &Labels) -> bool {
        let name = labels.get(METRIC_NAME).unwrap_or("");
        self.names.iter().all(|matcher| matcher.matches(name))
    }

    fn adds(&self, label: &str) -> bool {
        label != METRIC_NAME
            && (self.data.is_empty() || self.data.iter().any(|matcher| matcher.name == label))
    }
}

/// An info metric's name and the identifying labels' values.
type Signature = (String, Labels);

fn identity(labels: &Labels) -> Labels {
    labels.filtered(|name| IDENTIFYING.contains(&name))
}

pub(super) fn info(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let wanted = Wanted::of(args);
    let base = ev.vector(&args[0], grid)?;
    let infos = info_series(ev, args, &wanted, &base, grid)?;
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let signatures: Vec<Signature> = infos
        .iter()
        .map(|(one, _)| {
            let name = one.labels.get(METRIC_NAME).unwrap_or("");
            (name.to_owned(), identity(&one.labels))
        })
        .collect();
    for (name, _) in &signatures {
        names.insert(name);
    }
    let may_be_alone = wanted.data.iter().all(Matcher::matches_empty);
    let mut newest: Vec<FxHashMap<&Signature, usize>> = Vec::with_capacity(grid.count);
    for step in 0..grid.count {
        ev.budget.check_cancelled()?;
        newest.push(newest_at(node, &infos, &signatures, step)?);
    }
    let mut result = Vec::new();
    for one in base {
        ev.budget.check_cancelled()?;
        if wanted.is_info(&one.labels) {
            result.push(one);
            continue;
        }
        let keys: Vec<Signature> =
            names.iter().map(|name| ((*name).to_owned(), identity(&one.labels))).collect();
        // Usually the same info series belong to a series at all steps: their labels are joined once.
        let mut joined: FxHashMap<Vec<usize>, usize> = FxHashMap::default();
        let mut parts: Vec<Series> = Vec::new();
        for (step, newest) in newest.iter().enumerate() {
            let Some(point) = one.column.get(step) else { continue };
            let matched: Vec<usize> =
                keys.iter().filter_map(|key| newest.get(key).copied()).collect();
            if matched.is_empty() && !may_be_alone {
                continue;
            }
            let at = match joined.get(&matched) {
                Some(at) => *at,
                None => {
                    ev.budget.check_columns(result.len() + parts.len() + 1, grid.count)?;
                    let labels = enriched(node, &one.labels, &matched, &infos, &wanted)?;
                    let column = Column::absent(grid.count);
                    parts.push(Series { labels, drop_name: one.drop_name, column });
                    joined.insert(matched, parts.len() - 1);
                    parts.len() - 1
                }
            };
            parts[at].column.set(step, point.to_owned());
        }
        result.append(&mut parts);
    }
    merge_same_labels(result, node)
}

/// The info series that could belong to the base series: present where they have a sample, with the samples' times.
fn info_series(
    ev: &mut Evaluator<'_>,
    args: &[Node],
    wanted: &Wanted,
    base: &[Series],
    grid: &Grid,
) -> Result<Vec<(Series, Column)>, EvalError> {
    let identities: Vec<Labels> = base
        .iter()
        .filter(|one| !wanted.is_info(&one.labels))
        .map(|one| identity(&one.labels))
        .filter(|identity| !identity.is_empty())
        .collect();
    if identities.is_empty() {
        return Ok(Vec::new());
    }
    let mut matchers: Vec<Matcher> = wanted.names.iter().chain(&wanted.data).cloned().collect();
    for label in IDENTIFYING {
        // An absent label is an empty one: where some series lack it, info series may lack it, too.
        let values: BTreeSet<&str> =
            identities.iter().map(|identity| identity.get(label).unwrap_or("")).collect();
        let pattern = values.into_iter().map(regex::escape).collect::<Vec<_>>().join("|");
        // A pattern too large for the regex engine only means that more series are looked at.
        if let Ok(matcher) = Matcher::new(label, MatchOp::Regex, pattern) {
            matchers.push(matcher);
        }
    }
    let now = TimeShift { offset_ms: 0, at_ms: None };
    let time = shared_time(&args[0]).unwrap_or(now);
    let selector = Selector { matchers, time, boundary: Boundary::Plain, figures_only: false };
    let span = args[0].span;
    let selected = ev.stats.series_selected;
    let values = ev.selector(&selector, span, grid, SampleTime::Value)?;
    // The same series and samples again, which count once.
    let counted = (ev.tally.clone(), ev.stats.series_selected);
    ev.stats.series_selected = selected;
    let times = ev.selector(&selector, span, grid, SampleTime::Timestamp)?;
    (ev.tally, ev.stats.series_selected) = counted;
    // Read a moment later: series may have come or gone meanwhile.
    let mut times: FxHashMap<Labels, Column> =
        times.into_iter().map(|one| (one.labels, one.column)).collect();
    let has = |labels: &Labels| IDENTIFYING.map(|label| labels.get(label).is_some());
    let kinds: BTreeSet<[bool; 2]> = identities.iter().map(has).collect();
    let infos: Vec<(Series, Column)> = values
        .into_iter()
        .filter(|one| kinds.contains(&has(&one.labels)))
        .filter_map(|one| times.remove(&one.labels).map(|times| (one, times)))
        .collect();
    if let Some((one, _)) = infos.iter().find(|(one, _)| one.column.has_histograms()) {
        let message =
            format!("this should be an info metric, with float samples: {}", braced(&one.labels));
        return Err(EvalError::query(span, message));
    }
    Ok(infos)
}

/// Per signature the info series with the newest sample at a step.
fn newest_at<'a>(
    node: &Node,
    infos: &[(Series, Column)],
    signatures: &'a [Signature],
    step: usize,
) -> Result<FxHashMap<&'a Signature, usize>, EvalError> {
    let mut newest: FxHashMap<&Signature, usize> = FxHashMap::default();
    for (idx, (one, times)) in infos.iter().enumerate() {
        let Some(at) = times.float(step) else { continue };
        let Some(before) = newest.insert(&signatures[idx], idx) else { continue };
        let at_before = infos[before].1.float(step).unwrap_or(f64::NEG_INFINITY);
        if at_before > at {
            newest.insert(&signatures[idx], before);
        } else if at_before == at {
            let message = format!(
                "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                braced(&infos[before].0.labels),
                at_before * 1000.0,
                braced(&one.labels),
                at * 1000.0
            );
            return Err(EvalError::query(node.span, message));
        }
    }
    Ok(newest)
}

/// The base labels with the data labels of the matched info series; labels the base has stay.
fn enriched(
    node: &Node,
    base: &Labels,
    matched: &[usize],
    infos: &[(Series, Column)],
    wanted: &Wanted,
) -> Result<Labels, EvalError> {
    let mut added: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    for idx in matched {
        for (name, value) in infos[*idx].0.labels.iter().filter(|(name, _)| wanted.adds(name)) {
            match added.get(name) {
                Some(before) if *before != value => {
                    return Err(EvalError::query(node.span, format!("conflicting label: {name}")));
                }
                _ if base.get(name).is_some() => {}
                _ => {
                    added.insert(name, value);
                }
            }
        }
    }
    let mut builder = base.to_builder();
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}
