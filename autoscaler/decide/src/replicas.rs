//! How many replicas one metric asks for.

use std::collections::BTreeMap;

use swell_model::TimestampMs;

use crate::fraction::{Fraction, Tolerance, div_ceil, sum};
use crate::metric::{MetricError, MetricInput, MetricSource, Reading, Resource, Target};
use crate::pods::{Classes, PodFacts, PodSample, StartRules, classify, pod_request};

/// The question put to each metric.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Replicas that the target's specification asks for now.
    pub current: i32,
    /// Replicas that the target reports.
    pub status_replicas: i32,
    /// Pods of the target's selector.
    pub pods: &'a [PodFacts],
    /// How far from its target a metric may lie without a change.
    pub tolerance: Tolerance,
    /// When a starting pod's CPU counts.
    pub start: StartRules,
    /// Keep surge pods of a rolling update from raising the count: above its target a metric is multiplied by at most
    /// `current` pods, below it more than `current` is never asked for.
    pub count_surge_once: bool,
    /// The time.
    pub now: TimestampMs,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Whole percent of the request, for utilisation targets.
    pub utilization: Option<i64>,
    /// Thousandths: average per pod, or the value itself for an Object or External `Value`.
    pub milli: i64,
    /// Time of the newest sample that counted.
    pub sampled_at: Option<TimestampMs>,
}

/// What became of what a metric asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stands.
    Stands,
    /// The metric is near enough to its target.
    InsideTolerance,
    /// Pods that are starting or were not sampled could turn it round.
    UnknownPods,
}

/// A second quotient, with the pods that are starting or were not sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damped {
    /// Replicas by it.
    pub replicas: i32,
    /// Its arithmetic.
    pub formula: String,
}

/// What one metric asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Replicas.
    pub replicas: i32,
    /// Replicas by the bare quotient over the sampled pods.
    pub asked: i32,
    /// The quotient over all pods, where pods that are starting or were not sampled joined.
    pub damped: Option<Damped>,
    /// What became of it.
    pub verdict: Verdict,
    /// The measurement.
    pub measured: Measured,
    /// The last quotient of measurement and target, in millionths.
    pub ratio_ppm: i64,
    /// The arithmetic of `asked` as a reader would write it, `5 × 104 ÷ 50 = 10.40`.
    pub formula: String,
    /// Which pods counted.
    pub classes: Classes,
}

/// What `metric` asks for.
///
/// # Errors
/// [`MetricError`] when it has no usable answer; that is never a reason to change anything.
pub fn propose(metric: &MetricInput, question: &Question<'_>) -> Result<Proposal, MetricError> {
    let spec = &metric.spec;
    check_target(&spec.source, spec.target)?;
    if let Reading::Failed(message) = &metric.reading {
        return Err(MetricError::Source(message.clone()));
    }
    let question = &Question { pods: metric.pods.as_deref().unwrap_or(question.pods), ..*question };
    match (&spec.source, &metric.reading) {
        (MetricSource::Object { .. } | MetricSource::External(_), Reading::Values(values)) => {
            propose_from_total(values, spec.target, question)
        }
        (source, Reading::Pods(samples)) => {
            let resource = match source {
                MetricSource::Resource(resource) | MetricSource::ContainerResource(resource, _) => {
                    Some(resource)
                }
                _ => None,
            };
            propose_from_pods(samples, resource, source.container(), spec.target, question)
        }
        _ => Err(MetricError::NoMetrics),
    }
}

fn check_target(source: &MetricSource, target: Target) -> Result<(), MetricError> {
    let (allowed, fits) = match source {
        MetricSource::Resource(_) | MetricSource::ContainerResource(..) => {
            ("Utilization, AverageValue", !matches!(target, Target::Value(_)))
        }
        MetricSource::Pods(_) => ("AverageValue", matches!(target, Target::AverageValue(_))),
        MetricSource::Object { .. } | MetricSource::External(_) => {
            ("Value, AverageValue", !matches!(target, Target::Utilization(_)))
        }
        MetricSource::Unknown(name) => {
            return Err(MetricError::InvalidMetricType(name.to_string()));
        }
    };
    if fits && target.value() > 0 {
        return Ok(());
    }
    Err(MetricError::InvalidTarget {
        source_type: source.type_name().to_owned(),
        target_type: target.type_name(),
        value: target.value(),
        allowed,
    })
}

/// Use and request of the pods that are counted in a quotient.
struct Pool {
    usage: Vec<i64>,
    /// Parallel to `usage`; empty for targets that are not a percentage.
    requests: Vec<i64>,
}

impl Pool {
    /// The quotient, and the percentage or average that it is made of.
    fn ratio(&self, target: Target) -> Result<(Fraction, i64), MetricError> {
        let used = i128::from(sum(self.usage.iter().copied()));
        let measured = if let Target::Utilization(_) = target {
            let requested = sum(self.requests.iter().copied());
            if requested <= 0 {
                return Err(MetricError::NoMetricsForKnownPods);
            }
            used * 100 / i128::from(requested)
        } else {
            let count = i128::try_from(self.usage.len()).unwrap_or(i128::MAX);
            if count == 0 {
                return Err(MetricError::NoMetricsForKnownPods);
            }
            used / count
        };
        let measured = i64::try_from(measured).unwrap_or(i64::MAX);
        Ok((Fraction::new(i128::from(measured), i128::from(target.value())), measured))
    }

    fn count(&self) -> i64 {
        i64::try_from(self.usage.len()).unwrap_or(i64::MAX)
    }

    fn average_milli(&self) -> i64 {
        sum(self.usage.iter().copied()) / self.count().max(1)
    }
}

fn propose_from_pods(
    samples: &[PodSample],
    resource: Option<&Resource>,
    container: Option<&str>,
    target: Target,
    question: &Question<'_>,
) -> Result<Proposal, MetricError> {
    if samples.is_empty() {
        return Err(MetricError::NoMetrics);
    }
    if question.pods.is_empty() {
        return Err(MetricError::NoPods);
    }
    let by_pod: BTreeMap<&str, &PodSample> =
        samples.iter().map(|sample| (&*sample.pod, sample)).collect();
    let classes =
        classify(resource, container, question.pods, &by_pod, question.start, question.now);
    if classes.ready.is_empty() {
        let strangers =
            by_pod.keys().any(|name| question.pods.iter().all(|pod| *pod.name != **name));
        return Err(if strangers {
            MetricError::NoMetricsForKnownPods
        } else {
            MetricError::NoMetricsForReadyPods
        });
    }
    let requests = match (target, resource) {
        (Target::Utilization(_), Some(resource)) => question
            .pods
            .iter()
            .map(|pod| pod_request(pod, resource, container))
            .collect::<Result<Vec<_>, _>>()?,
        _ => vec![0; question.pods.len()],
    };
    let mut pool = Pool {
        usage: classes.ready.iter().map(|(_, usage)| *usage).collect(),
        requests: classes.ready.iter().map(|(idx, _)| requests[*idx]).collect(),
    };
    let (ratio, measured) = pool.ratio(target)?;
    let utilization = matches!(target, Target::Utilization(_)).then_some(measured);
    let average_milli = pool.average_milli();
    let counted = counted(pool.count(), ratio, question);
    let asked = wanted(counted, ratio, question);
    let first = Proposal {
        replicas: asked,
        asked,
        damped: None,
        verdict: Verdict::Stands,
        measured: Measured { utilization, milli: average_milli, sampled_at: classes.sampled_at },
        ratio_ppm: ratio.ppm(),
        formula: formula(counted, measured, target, ratio),
        classes,
    };
    let join_unready = !first.classes.unready.is_empty() && ratio.is_above_one();
    if first.classes.missing.is_empty() && !join_unready {
        return Ok(if ratio.is_inside(question.tolerance) {
            Proposal { replicas: question.current, verdict: Verdict::InsideTolerance, ..first }
        } else {
            first
        });
    }
    let missing_fill = |idx: usize| match target {
        Target::Utilization(percent) => {
            let use_milli = i128::from(requests[idx]) * i128::from(percent.max(100)) / 100;
            i64::try_from(use_milli).unwrap_or(i64::MAX)
        }
        Target::AverageValue(value) | Target::Value(value) => value,
    };
    for &idx in &first.classes.missing {
        if ratio.is_below_one() {
            pool.usage.push(missing_fill(idx));
        } else if ratio.is_above_one() {
            pool.usage.push(0);
        } else {
            continue;
        }
        pool.requests.push(requests[idx]);
    }
    if join_unready {
        for &idx in &first.classes.unready {
            pool.usage.push(0);
            pool.requests.push(requests[idx]);
        }
    }
    damp(first, ratio, &pool, target, question)
}

/// The second quotient, over all pods: it may weaken what the first asks for, never turn it round.
fn damp(
    first: Proposal,
    first_ratio: Fraction,
    pool: &Pool,
    target: Target,
    question: &Question<'_>,
) -> Result<Proposal, MetricError> {
    let current = question.current;
    let (ratio, measured) = pool.ratio(target)?;
    let counted = counted(pool.count(), ratio, question);
    let want = wanted(counted, ratio, question);
    let crossed = (first_ratio.is_below_one() && ratio.is_above_one())
        || (first_ratio.is_above_one() && ratio.is_below_one());
    let against =
        (ratio.is_below_one() && want > current) || (ratio.is_above_one() && want < current);
    let verdict = if ratio.is_inside(question.tolerance) {
        Verdict::InsideTolerance
    } else if crossed || against {
        Verdict::UnknownPods
    } else {
        Verdict::Stands
    };
    Ok(Proposal {
        replicas: if verdict == Verdict::Stands { want } else { current },
        damped: Some(Damped { replicas: want, formula: formula(counted, measured, target, ratio) }),
        verdict,
        ratio_ppm: ratio.ppm(),
        ..first
    })
}

fn counted(count: i64, ratio: Fraction, question: &Question<'_>) -> i64 {
    if question.count_surge_once && ratio.is_above_one() {
        count.min(i64::from(question.current.max(1)))
    } else {
        count
    }
}

fn wanted(counted: i64, ratio: Fraction, question: &Question<'_>) -> i32 {
    let wanted = ratio.times_ceil(counted);
    if question.count_surge_once && !ratio.is_above_one() {
        wanted.min(question.current)
    } else {
        wanted
    }
}

fn propose_from_total(
    values: &[i64],
    target: Target,
    question: &Question<'_>,
) -> Result<Proposal, MetricError> {
    let usage = sum(values.iter().copied());
    let goal = i128::from(target.value());
    let alone = Fraction::new(i128::from(usage), goal);
    let (ratio, asked, formula, milli) = match target {
        Target::AverageValue(_) => {
            let replicas = i128::from(question.status_replicas.max(0));
            let ratio = (replicas > 0).then(|| Fraction::new(i128::from(usage), goal * replicas));
            let per_replica = if replicas > 0 {
                div_ceil(i128::from(usage), replicas)
            } else {
                i128::from(usage)
            };
            let milli = i64::try_from(per_replica).unwrap_or(i64::MAX);
            (ratio, alone.times_ceil(1), quotient(usage, target, alone), milli)
        }
        _ if question.current == 0 => {
            (None, alone.times_ceil(1), quotient(usage, target, alone), usage)
        }
        _ => {
            if question.pods.is_empty() {
                return Err(MetricError::NoPods);
            }
            let ready = question.pods.iter().filter(|pod| pod.is_running_and_ready()).count();
            let counted = counted(i64::try_from(ready).unwrap_or(i64::MAX), alone, question);
            (
                Some(alone),
                wanted(counted, alone, question),
                formula(counted, usage, target, alone),
                usage,
            )
        }
    };
    let inside = ratio.is_some_and(|ratio| ratio.is_inside(question.tolerance));
    Ok(Proposal {
        replicas: if inside { question.current } else { asked },
        asked,
        damped: None,
        verdict: if inside { Verdict::InsideTolerance } else { Verdict::Stands },
        measured: Measured { utilization: None, milli, sampled_at: None },
        ratio_ppm: ratio.unwrap_or(alone).ppm(),
        formula,
        classes: Classes::default(),
    })
}

fn formula(count: i64, measured: i64, target: Target, ratio: Fraction) -> String {
    let (measured, goal) = match target {
        Target::Utilization(percent) => (measured.to_string(), percent.to_string()),
        Target::AverageValue(milli) | Target::Value(milli) => {
            (milli_text(measured), milli_text(milli))
        }
    };
    format!("{count} × {measured} ÷ {goal} = {}", ratio.times_text(count))
}

fn quotient(usage: i64, target: Target, ratio: Fraction) -> String {
    format!("{} ÷ {} = {}", milli_text(usage), milli_text(target.value()), ratio.times_text(1))
}

/// Thousandths as a decimal number without trailing zeros.
pub(crate) fn milli_text(milli: i64) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    let (whole, rest) = (milli.unsigned_abs() / 1000, milli.unsigned_abs() % 1000);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{rest:03}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}
