//! One rule group: its rules with their states, and its evaluation. Runs on a blocking thread.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use swell_env::Clock;
use swell_model::{DurationMs, Labels, SampleSink, SampleValue, TimestampMs};
use swell_promql_syntax::Expr;
use swell_rules::{
    AlertInstance, EvaluationContext, InstantValue, QuerySource, Rule, RuleGroup, RuleState,
    SeriesTracker, StepError, Transition, batches, record, step,
};
use tokio::sync::Semaphore;

use crate::evaluator::RuleEvaluator;
use crate::metrics::{Metrics, OneGroup};
use crate::schedule::Schedule;
use crate::view::{GroupView, RuleHealth, RuleView};
use crate::writer::SeriesWriter;

/// What evaluations work with.
#[derive(Clone)]
pub(crate) struct Resources {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) evaluator: Arc<dyn RuleEvaluator>,
    pub(crate) sink: Arc<dyn SampleSink>,
    pub(crate) metrics: Metrics,
    pub(crate) external_labels: Labels,
    pub(crate) external_url: String,
    /// Turns of rules that run beside others of their group; none where rules run one after the other.
    pub(crate) side_turns: Option<Arc<Semaphore>>,
}

/// A rule with all that is remembered of it.
#[derive(Clone, Debug)]
pub(crate) struct RuleRuntime {
    pub(crate) rule: Arc<Rule>,
    pub(crate) state: RuleState,
    tracker: SeriesTracker,
    writer: SeriesWriter,
    health: RuleHealth,
    duration_s: f64,
    evaluated_at: Option<TimestampMs>,
    /// Samples that the last evaluation gave.
    sample_count: usize,
}

/// A group with all that is remembered of it.
#[derive(Clone, Debug)]
pub(crate) struct GroupRuntime {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) interval: DurationMs,
    pub(crate) schedule: Schedule,
    query_offset: DurationMs,
    limit: usize,
    pub(crate) rules: Vec<RuleRuntime>,
    /// Positions of rules that may run at once, batch by batch.
    batches: Vec<Vec<usize>>,
    /// Series of rules that are no more: they get their staleness marker at the next evaluation.
    orphans: Vec<Labels>,
    duration_s: f64,
    evaluated_at: Option<TimestampMs>,
}

/// What an evaluation came to, beside the new state.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) failures: Vec<RuleFailure>,
}

/// A rule that failed.
#[derive(Debug)]
pub(crate) struct RuleFailure {
    pub(crate) rule: String,
    pub(crate) why: String,
    /// Whether it also failed the time before.
    pub(crate) again: bool,
}

impl Evaluated {
    fn take(&mut self, outcome: Result<Vec<Transition>, RuleFailure>) {
        match outcome {
            Ok(transitions) => self.transitions.extend(transitions),
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// Does the work on each rule of a batch, on as many threads as there are turns for, and on this one; gives what came of
/// them in the order of the batch.
fn side_by_side<T: Send>(
    rules: &mut [RuleRuntime],
    batch: &[usize],
    turns: &Arc<Semaphore>,
    work: impl Fn(&mut RuleRuntime) -> T + Sync,
) -> Vec<T> {
    let chosen = rules.iter_mut().enumerate().filter(|(idx, _)| batch.contains(idx));
    let waiting = Mutex::new(chosen.map(|(_, rule)| rule).enumerate());
    let done = Mutex::new(Vec::with_capacity(batch.len()));
    let in_turn = || {
        loop {
            let next = waiting.lock().next();
            let Some((place, rule)) = next else { break };
            let outcome = work(rule);
            done.lock().push((place, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..batch.len() {
            let Ok(turn) = Arc::clone(turns).try_acquire_owned() else { break };
            let in_turn = &in_turn;
            let beside = move || {
                in_turn();
                drop(turn);
            };
            // Without a thread more, those that are there do the work.
            let _spawned = std::thread::Builder::new().spawn_scoped(scope, beside);
        }
        in_turn();
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The two times of an evaluation.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// When it is due: of alerts' states and of what templates ask.
    slot: TimestampMs,
    /// As of when the query is asked and its result written: earlier by the query offset.
    data: TimestampMs,
}

struct TemplateQueries<'a> {
    evaluator: &'a dyn RuleEvaluator,
    at: TimestampMs,
}

impl QuerySource for TemplateQueries<'_> {
    fn query(&self, expr: &str) -> Result<InstantValue, String> {
        let expr: Expr = swell_promql_syntax::parse(expr).map_err(|error| error.to_string())?;
        self.evaluator.instant(&expr, self.at)
    }
}

impl RuleRuntime {
    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule: Arc::new(rule),
            state: RuleState::default(),
            tracker: SeriesTracker::default(),
            writer: SeriesWriter::default(),
            health: RuleHealth::Unknown,
            duration_s: 0.0,
            evaluated_at: None,
            sample_count: 0,
        }
    }

    fn evaluate(
        &mut self,
        moment: Moment,
        limit: usize,
        resources: &Resources,
    ) -> Result<Vec<Transition>, String> {
        let result = resources.evaluator.instant(self.rule.expr(), moment.data)?.into_samples();
        let (samples, transitions) = match self.rule.as_ref() {
            Rule::Recording(rule) => {
                let samples = record(rule, result, limit).map_err(|error| error.to_string())?;
                (
                    samples
                        .into_iter()
                        .map(|sample| (sample.labels, sample.value))
                        .collect::<Vec<_>>(),
                    Vec::new(),
                )
            }
            Rule::Alerting(rule) => {
                let queries =
                    TemplateQueries { evaluator: resources.evaluator.as_ref(), at: moment.slot };
                let context = EvaluationContext {
                    now: moment.slot,
                    limit,
                    external_labels: &resources.external_labels,
                    external_url: &resources.external_url,
                    queries: &queries,
                };
                let stepped = match step(rule, &self.state, &result, &context) {
                    Ok(stepped) => stepped,
                    Err(error) => {
                        if matches!(error, StepError::LimitExceeded { .. }) {
                            self.state = RuleState::default();
                        }
                        return Err(error.to_string());
                    }
                };
                self.state = stepped.state;
                let samples = stepped
                    .samples
                    .into_iter()
                    .map(|(labels, value)| (labels, SampleValue::Float(value)));
                (samples.collect(), stepped.transitions)
            }
        };
        self.sample_count = samples.len();
        let vanished = self.tracker.advance(samples.iter().map(|(labels, _)| labels));
        match self.writer.write(resources.sink.as_ref(), moment.data, &samples, &vanished) {
            Ok(()) => Ok(transitions),
            Err(error) => {
                self.tracker.not_marked(vanished);
                Err(format!("write the result: {}", swell_telemetry::chain(&error)))
            }
        }
    }

    /// Evaluates, and notes how that went and how long it took.
    fn timed(
        &mut self,
        moment: Moment,
        limit: usize,
        resources: &Resources,
        counted: &OneGroup,
    ) -> Result<Vec<Transition>, RuleFailure> {
        let started = resources.clock.monotonic();
        resources.metrics.evaluations.inc();
        counted.evaluations.inc();
        self.sample_count = 0;
        let outcome = self.evaluate(moment, limit, resources).map_err(|why| {
            resources.metrics.evaluation_failures.inc();
            counted.evaluation_failures.inc();
            let again = matches!(self.health, RuleHealth::Failed(_));
            RuleFailure { rule: self.rule.name().to_owned(), why, again }
        });
        self.health = match &outcome {
            Ok(_) => RuleHealth::Ok,
            Err(failure) => RuleHealth::Failed(failure.why.clone()),
        };
        self.duration_s = resources.clock.monotonic().since(started).as_secs_f64();
        self.evaluated_at = Some(moment.slot);
        resources.metrics.by_group.evaluation_seconds.observe(self.duration_s);
        outcome
    }

    fn view(&self) -> RuleView {
        RuleView {
            rule: Arc::clone(&self.rule),
            health: self.health.clone(),
            duration_s: self.duration_s,
            evaluated_at: self.evaluated_at,
            alerts: self.state.instances.values().cloned().collect(),
        }
    }
}

impl GroupRuntime {
    /// A group that was never evaluated. `interval` and `query_offset` count where the group says nothing.
    pub(crate) fn new(
        file: &str,
        group: &RuleGroup,
        interval: DurationMs,
        query_offset: DurationMs,
    ) -> Self {
        let interval = group.interval.unwrap_or(interval);
        Self {
            file: file.to_owned(),
            name: group.name.clone(),
            interval,
            schedule: Schedule::new(file, &group.name, interval),
            query_offset: group.query_offset.unwrap_or(query_offset),
            limit: group.limit,
            batches: batches(&group.rules),
            rules: group.rules.iter().cloned().map(RuleRuntime::new).collect(),
            orphans: Vec::new(),
            duration_s: 0.0,
            evaluated_at: None,
        }
    }

    /// Takes over what an earlier version of the group remembers of rules that did not change.
    pub(crate) fn take_over(&mut self, earlier: Self) {
        let mut known: HashMap<String, Vec<RuleRuntime>> = HashMap::new();
        for rule in earlier.rules.into_iter().rev() {
            known.entry(rule.rule.identity()).or_default().push(rule);
        }
        for rule in &mut self.rules {
            if let Some(old) = known.get_mut(&rule.rule.identity()).and_then(Vec::pop) {
                let current = Arc::clone(&rule.rule);
                *rule = RuleRuntime { rule: current, ..old };
            }
        }
        self.duration_s = earlier.duration_s;
        self.evaluated_at = earlier.evaluated_at;
        self.orphans = earlier.orphans;
        let gone = known.into_values().flatten();
        self.orphans.extend(gone.flat_map(|rule| rule.tracker.into_series()));
    }

    /// All series the group's rules wrote last, for a group that is no more.
    pub(crate) fn into_series(self) -> Vec<Labels> {
        let rules = self.rules.into_iter().flat_map(|rule| rule.tracker.into_series());
        rules.chain(self.orphans).collect()
    }

    /// Evaluates all rules at `slot`; they ask and write as of that less the query offset. Each rule sees what those before it wrote; those that do
    /// not depend on each other run side by side where there are turns for that.
    pub(crate) fn evaluate(&mut self, slot: TimestampMs, resources: &Resources) -> Evaluated {
        let moment = Moment { slot, data: slot - self.query_offset };
        let started = resources.clock.monotonic();
        let counted = resources.metrics.by_group.of(&self.file, &self.name);
        let mut evaluated = Evaluated::default();
        self.mark_orphans(moment.data, resources, &mut evaluated);
        match &resources.side_turns {
            None => {
                for rule in &mut self.rules {
                    let outcome = rule.timed(moment, self.limit, resources, &counted);
                    evaluated.take(outcome);
                }
            }
            Some(turns) => {
                for batch in &self.batches {
                    let outcomes = side_by_side(&mut self.rules, batch, turns, |rule| {
                        rule.timed(moment, self.limit, resources, &counted)
                    });
                    outcomes.into_iter().for_each(|outcome| evaluated.take(outcome));
                }
            }
        }
        self.duration_s = resources.clock.monotonic().since(started).as_secs_f64();
        self.evaluated_at = Some(slot);
        resources.metrics.evaluation_duration.observe(self.duration_s);
        resources.metrics.by_group.iteration_seconds.observe(self.duration_s);
        evaluated
    }

    fn mark_orphans(&mut self, at: TimestampMs, resources: &Resources, evaluated: &mut Evaluated) {
        if self.orphans.is_empty() {
            return;
        }
        // A series that another rule writes by now is not gone.
        self.orphans.retain(|labels| {
            !self.rules.iter().any(|rule| rule.tracker.series().any(|known| known == labels))
        });
        match SeriesWriter::default().write(resources.sink.as_ref(), at, &[], &self.orphans) {
            Ok(()) => self.orphans.clear(),
            Err(error) => evaluated.failures.push(RuleFailure {
                rule: "staleness markers of removed rules".into(),
                why: swell_telemetry::chain(&error),
                again: false,
            }),
        }
    }

    /// Alerts that the notifier is to hear of, with the query they come from; none of rules that failed: what they knew
    /// ends by itself where it was told.
    pub(crate) fn alerts_to_send(
        &self,
        now: TimestampMs,
        resend_delay: DurationMs,
    ) -> impl Iterator<Item = (&Rule, &AlertInstance)> {
        let told = self.rules.iter().filter(|rule| !matches!(rule.health, RuleHealth::Failed(_)));
        told.flat_map(move |rule| {
            let alerts = rule.state.instances.values();
            alerts
                .filter(move |alert| alert.needs_sending(now, resend_delay))
                .map(|alert| (rule.rule.as_ref(), alert))
        })
    }

    /// Notes that all of [`GroupRuntime::alerts_to_send`] were handed over.
    pub(crate) fn note_sent(&mut self, now: TimestampMs, resend_delay: DurationMs) {
        let is_told = |rule: &&mut RuleRuntime| !matches!(rule.health, RuleHealth::Failed(_));
        for rule in self.rules.iter_mut().filter(is_told) {
            for alert in rule.state.instances.values_mut() {
                if alert.needs_sending(now, resend_delay) {
                    alert.last_sent_at = Some(now);
                }
            }
        }
    }

    /// Time of the last evaluation.
    pub(crate) const fn evaluated_at(&self) -> Option<TimestampMs> {
        self.evaluated_at
    }

    /// A copy for others.
    pub(crate) fn view(&self) -> GroupView {
        GroupView {
            file: self.file.clone(),
            name: self.name.clone(),
            interval: self.interval,
            limit: self.limit,
            duration_s: self.duration_s,
            evaluated_at: self.evaluated_at,
            sample_count: self.rules.iter().map(|rule| rule.sample_count).sum(),
            rules: self.rules.iter().map(RuleRuntime::view).collect(),
        }
    }
}
