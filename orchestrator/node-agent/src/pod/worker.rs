//! The task that owns one pod: it waits for news, looks at everything, decides by [`plan`](super::plan) and acts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use swell_client::{ClientError, EventType};
use swell_model::{DurationMs, TimestampMs};
use swell_runtime::{ContainerId, PodIdentity, RuntimeError, SandboxStatus};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::listening::{LOOKS, complaint};
use super::plan::{Action, Plan, Shown, plan};
use super::probing::Probing;
use super::publish::{self, Publisher};
use super::spec::{Unsuitable, Workload};
use super::start::{Start, prepare_sandbox, start_container};
use super::state::{Busy, PodEnd, PodState, Refusal, Sandbox, Termination, Unhealthy};
use super::status::{Surroundings, status, unsuitable_status};
use super::stop::{Stop, delete_object, remove_pod, stop_container};
use crate::context::Context;
use crate::probe::{ProbeKind, ProbeReport, ProbeVerdict};

/// Reports of probes that may wait; a pod has a handful of probes and each waits for room.
const REPORTS_MAX: usize = 16;
/// Pause before a failed removal is tried again.
const REMOVAL_RETRY: Duration = Duration::from_secs(1);
/// Grace of pods that end because their agent does.
const SHUTDOWN_GRACE: DurationMs = DurationMs::from_secs(2);

/// What the agent wants of a worker.
#[derive(Clone, Debug)]
pub(crate) enum Assignment {
    /// Run this pod, or stop it if it is being deleted.
    Pod(Arc<Pod>),
    /// The object is gone: remove what is left.
    Gone,
    /// The agent ends and takes its pods along.
    Shutdown,
}

/// What a job that was under way has to say.
enum Done {
    Sandbox(Result<SandboxStatus, Refusal>),
    Started { container: String, outcome: Result<(), Refusal> },
    Stopped { container: String, outcome: Result<(), RuntimeError> },
    StopPauseOver { container: String },
    Removed { id: ContainerId, outcome: Result<(), RuntimeError> },
    Looked { id: ContainerId, container: String, complaint: Option<String> },
    Published { status: Box<PodStatus>, outcome: Result<(), ClientError> },
    PublishPauseOver,
    TornDown(Result<(), String>),
    TearDownPauseOver,
}

enum Event {
    Assigned,
    RuntimeChanged,
    AddressesChanged,
    Probe(ProbeReport),
    Job(Done),
    Timer,
    /// The agent is gone.
    Orphaned,
}

/// See the module's documentation.
pub(crate) struct PodWorker {
    context: Arc<Context>,
    pod: Arc<Pod>,
    identity: PodIdentity,
    workload: Result<Workload, Unsuitable>,
    state: PodState,
    start_time: TimestampMs,
    assignment: watch::Receiver<Assignment>,
    runtime_changed: Arc<Notify>,
    addresses_changed: watch::Receiver<u64>,
    reports: mpsc::Receiver<ProbeReport>,
    probing: Probing,
    jobs: JoinSet<Done>,
    publisher: Publisher,
    /// Runs that are being forgotten.
    removing: BTreeSet<ContainerId>,
    wake_at: Option<TimestampMs>,
    /// The object is to be deleted once nothing is left; not when it is gone or the agent ends.
    delete_object: bool,
    /// From here on the runtime knows less than what was told last.
    removal_begun: bool,
    /// Where containers listen instead of at the pod's address, by container.
    misbound: BTreeMap<String, String>,
    /// Back-offs and complaints that an event was written for.
    told: BTreeSet<String>,
    finished: bool,
}

impl PodWorker {
    /// A worker for a pod, with what is there of it already.
    pub(crate) fn new(
        context: Arc<Context>,
        pod: Arc<Pod>,
        assignment: watch::Receiver<Assignment>,
        runtime_changed: Arc<Notify>,
    ) -> Self {
        let identity = super::spec::identity(&pod);
        let workload = Workload::from_pod(&pod, &context.offer);
        let accepted = pod.status.clone().unwrap_or_default();
        let start_time = accepted
            .start_time
            .as_ref()
            .map_or_else(|| context.now(), |at| TimestampMs(at.0.as_millisecond()));
        let (report, reports) = mpsc::channel(REPORTS_MAX);
        let sandboxes = context.runtime.sandboxes();
        let sandbox = sandboxes.iter().rfind(|s| s.config.pod.uid == identity.uid && s.ready);
        let state = PodState {
            sandbox: sandbox.map_or(Sandbox::Absent, ready),
            end: match accepted.phase.as_deref() {
                Some("Succeeded") => Some(PodEnd::Succeeded),
                Some("Failed") => Some(PodEnd::Failed),
                _ => None,
            },
            ..PodState::default()
        };
        Self {
            probing: Probing::new(report, &accepted),
            addresses_changed: context.addresses_changed.subscribe(),
            publisher: Publisher::new(accepted),
            context,
            pod,
            identity,
            workload,
            state,
            start_time,
            assignment,
            runtime_changed,
            reports,
            jobs: JoinSet::new(),
            removing: BTreeSet::new(),
            wake_at: None,
            delete_object: true,
            removal_begun: false,
            misbound: BTreeMap::new(),
            told: BTreeSet::new(),
            finished: false,
        }
    }

    /// Takes care of the pod until it is gone or the agent is. Returns its uid.
    pub(crate) async fn run(mut self) -> String {
        self.assigned();
        self.look();
        while !self.finished {
            let event = self.select().await;
            if matches!(event, Event::Orphaned) {
                break;
            }
            self.apply(event);
            self.look();
        }
        self.identity.uid
    }

    async fn select(&mut self) -> Event {
        let now = self.context.now();
        let timer = self.wake_at.map(|at| at.since(now).to_std() + Duration::from_millis(1));
        tokio::select! {
            changed = self.assignment.changed() => match changed {
                Ok(()) => Event::Assigned,
                Err(_) => Event::Orphaned,
            },
            () = self.runtime_changed.notified() => Event::RuntimeChanged,
            Ok(()) = self.addresses_changed.changed() => Event::AddressesChanged,
            Some(report) = self.reports.recv() => Event::Probe(report),
            Some(done) = self.jobs.join_next() => {
                Event::Job(done.expect("jobs do not panic and are not cancelled"))
            }
            () = tokio::time::sleep(timer.unwrap_or_default()), if timer.is_some() => Event::Timer,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Assigned => self.assigned(),
            Event::RuntimeChanged | Event::Timer | Event::Orphaned => {}
            Event::AddressesChanged => {
                if let Sandbox::Refused(refusal) = &mut self.state.sandbox {
                    refusal.retry_at = self.context.now();
                }
            }
            Event::Probe(report) => self.probed(report),
            Event::Job(done) => self.job_done(done),
        }
    }

    fn assigned(&mut self) {
        let assignment = self.assignment.borrow_and_update().clone();
        match assignment {
            Assignment::Pod(pod) => {
                // A pod's spec does not change but for its image, which the runtimes here do not have.
                self.pod = pod;
                if self.pod.metadata.deletion_timestamp.is_some() {
                    let grace = self.pod.metadata.deletion_grace_period_seconds;
                    self.terminate(grace.map(DurationMs::from_secs));
                }
            }
            Assignment::Gone => {
                self.delete_object = false;
                self.terminate(None);
            }
            Assignment::Shutdown => {
                self.delete_object = false;
                self.terminate(Some(SHUTDOWN_GRACE));
            }
        }
    }

    /// The pod is to go; `None` is its own grace.
    fn terminate(&mut self, grace: Option<DurationMs>) {
        let own = self.workload.as_ref().map_or(DurationMs::ZERO, |pod| pod.termination_grace);
        let grace = grace.unwrap_or(own);
        let now = self.context.now();
        self.state.termination = Some(match self.state.termination {
            Some(earlier) => earlier.shortened(now + grace),
            None => {
                let drain = self.context.config.drain;
                Termination::new(now, grace, drain, swell_api_types::pod_is_ready(&self.pod))
            }
        });
        self.probing.stop();
    }

    fn probed(&mut self, report: ProbeReport) {
        let Ok(workload) = &self.workload else { return };
        let found = self.state.containers.iter_mut().find(|(_, progress)| {
            progress.current.as_ref().is_some_and(|run| run.id == report.container)
        });
        let Some((name, progress)) = found else { return };
        match (report.kind, report.verdict) {
            (kind, ProbeVerdict::Failed(why)) => {
                self.context.metrics.probe_failures.with_label_values(&[kind.word()]).inc();
                let message = format!("{} probe failed: {why}", kind.title());
                self.context.container_event(
                    &self.pod,
                    name,
                    EventType::Warning,
                    "Unhealthy",
                    message,
                );
            }
            (ProbeKind::Startup, ProbeVerdict::Established(true)) => progress.started = true,
            (ProbeKind::Readiness, ProbeVerdict::Established(ready)) => progress.ready = ready,
            (ProbeKind::Liveness, ProbeVerdict::Established(true)) => {}
            (probe, ProbeVerdict::Established(false)) => {
                let spec = workload.container(name).and_then(|spec| match probe {
                    ProbeKind::Startup => spec.startup.as_ref(),
                    _ => spec.liveness.as_ref(),
                });
                let grace = spec
                    .and_then(|spec| spec.termination_grace)
                    .map(|grace| DurationMs(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)));
                progress.unhealthy = Some(Unhealthy { probe, grace });
            }
        }
    }

    fn job_done(&mut self, done: Done) {
        match done {
            Done::Sandbox(Ok(sandbox)) => self.state.sandbox = ready(&sandbox),
            Done::Sandbox(Err(refusal)) => {
                let told = format!("sandbox: {}", refusal.message);
                if self.told.insert(told) {
                    let (reason, message) = (refusal.reason, refusal.message.clone());
                    self.context.pod_event(&self.pod, EventType::Warning, reason, message);
                }
                self.state.sandbox = Sandbox::Refused(refusal);
            }
            Done::Started { container, outcome } => {
                // First what became of it: a new run clears what was known of the one before.
                self.observe();
                let progress = self.state.containers.entry(container).or_default();
                progress.busy = Busy::Idle;
                progress.refusal = outcome.err();
            }
            Done::Stopped { container, outcome: Ok(()) } | Done::StopPauseOver { container } => {
                self.state.containers.entry(container).or_default().busy = Busy::Idle;
            }
            Done::Stopped { container, outcome: Err(error) } => {
                let error = swell_telemetry::chain(&error);
                tracing::error!(pod = %self.identity, %error, "a container did not stop");
                let kind = EventType::Warning;
                self.context.pod_event(&self.pod, kind, "FailedKillPod", error);
                self.later(REMOVAL_RETRY, Done::StopPauseOver { container });
            }
            Done::Removed { id, outcome } => {
                self.removing.remove(&id);
                if let Err(error) = outcome {
                    let error = swell_telemetry::chain(&error);
                    tracing::warn!(pod = %self.identity, %error, "an old container was not removed");
                }
            }
            Done::Looked { id, container, complaint } => self.looked(&id, container, complaint),
            Done::Published { status, outcome } => {
                if let Some(pause) = self.publisher.sent(*status, outcome) {
                    self.later(pause, Done::PublishPauseOver);
                }
            }
            Done::PublishPauseOver => self.publisher.retry(),
            Done::TornDown(Ok(())) => self.finished = true,
            Done::TornDown(Err(error)) => {
                tracing::warn!(pod = %self.identity, %error, "a pod could not be removed");
                self.later(REMOVAL_RETRY, Done::TearDownPauseOver);
            }
            Done::TearDownPauseOver => self.state.tearing_down = false,
        }
    }

    fn later(&mut self, pause: Duration, done: Done) {
        self.jobs.spawn(async move {
            tokio::time::sleep(pause).await;
            done
        });
    }

    fn looked(&mut self, id: &ContainerId, container: String, complaint: Option<String>) {
        let current = self.state.containers.get(&container).and_then(|p| p.current.as_ref());
        if current.is_none_or(|run| run.id != *id) {
            return;
        }
        let Some(complaint) = complaint else {
            self.misbound.remove(&container);
            return;
        };
        let sentence = format!("container {container} {complaint}");
        if self.told.insert(format!("{id} {sentence}")) {
            let kind = EventType::Warning;
            let reason = "ListensElsewhere";
            self.context.container_event(&self.pod, &container, kind, reason, sentence.clone());
        }
        self.misbound.insert(container, sentence);
    }

    /// Takes over the runtime's view.
    fn observe(&mut self) {
        let Ok(workload) = &self.workload else { return };
        let statuses = self.context.runtime.list_pod(&self.identity.uid);
        for spec in workload.containers() {
            let own: Vec<_> =
                statuses.iter().filter(|status| status.config.name == spec.name).collect();
            let progress = self.state.containers.entry(spec.name.clone()).or_default();
            progress.observe(&own);
            if !progress.is_running() {
                self.misbound.remove(&spec.name);
            }
        }
    }

    /// Looks at everything, acts, and tells the API server.
    fn look(&mut self) {
        self.observe();
        let now = self.context.now();
        let (status, plan) = match self.workload.clone() {
            Ok(workload) => self.look_at(&workload, now),
            Err(why) => self.look_at_unsuitable(&why, now),
        };
        self.wake_at = plan.wake_at;
        if self.delete_object && !self.removal_begun {
            self.publisher.want(status);
        }
        if let Some(status) = self.publisher.next() {
            let (context, pod) = (Arc::clone(&self.context), self.identity.clone());
            let before = self.publisher.accepted().clone();
            self.jobs.spawn(async move {
                let (status, outcome) = publish::send(context, pod, before, status).await;
                Done::Published { status: Box::new(status), outcome }
            });
        }
        for action in plan.actions {
            self.act(action);
        }
    }

    fn look_at(&mut self, workload: &Workload, now: TimestampMs) -> (PodStatus, Plan) {
        if self.state.termination.is_none() && self.state.end.is_none() {
            let address = self.address();
            for started in self.probing.tend(&self.context, workload, &mut self.state, address, now)
            {
                self.look_where_it_listens(workload, &started);
            }
        }
        let plan = plan(workload, &self.state, self.context.config.back_off, now);
        if self.state.end.is_none() && self.state.termination.is_none() {
            self.state.end = plan.end;
        }
        self.tell_back_offs(&plan);
        let before = self.before();
        let misbound: Vec<&str> = self.misbound.values().map(String::as_str).collect();
        let misbound = misbound.join("; ");
        let around = self.surroundings(&before, &misbound);
        (status(&self.pod, workload, &self.state, &plan, &around, now), plan)
    }

    fn look_at_unsuitable(&mut self, why: &Unsuitable, now: TimestampMs) -> (PodStatus, Plan) {
        let mut plan = Plan::default();
        if self.state.termination.is_some() {
            if !self.state.tearing_down {
                plan.actions.push(Action::TearDown);
            }
        } else if self.told.insert(why.message.clone()) {
            let (reason, message) = (why.reason, why.message.clone());
            self.context.pod_event(&self.pod, EventType::Warning, reason, message);
        }
        let before = self.before();
        let around = self.surroundings(&before, "");
        (unsuitable_status(&self.pod, why, &around, now), plan)
    }

    fn surroundings<'a>(&self, before: &'a PodStatus, misbound: &'a str) -> Surroundings<'a> {
        Surroundings {
            runtime_name: self.context.runtime.version().name,
            host: self.context.host(),
            start_time: self.start_time,
            before,
            misbound: (!misbound.is_empty()).then_some(misbound),
        }
    }

    /// Our own conditions as last accepted, those of others as they are now.
    fn before(&self) -> PodStatus {
        let mut conditions = self.publisher.accepted().conditions.clone().unwrap_or_default();
        let theirs = self.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        for condition in theirs.into_iter().flatten() {
            if !conditions.iter().any(|own| own.type_ == condition.type_) {
                conditions.push(condition.clone());
            }
        }
        PodStatus { conditions: Some(conditions), ..PodStatus::default() }
    }

    fn tell_back_offs(&mut self, plan: &Plan) {
        for (name, shown) in &plan.shown {
            let Shown::BackOff { .. } = shown else { continue };
            let Some(run) = self.state.containers.get(name).and_then(|p| p.current.as_ref()) else {
                continue;
            };
            if self.told.insert(format!("{} back-off", run.id)) {
                let pod = &self.identity;
                let message = format!(
                    "Back-off restarting failed container {name} in pod {}_{}({})",
                    pod.name, pod.namespace, pod.uid
                );
                let kind = EventType::Warning;
                self.context.container_event(&self.pod, name, kind, "BackOff", message);
            }
        }
    }

    fn address(&self) -> IpAddr {
        match &self.state.sandbox {
            Sandbox::Ready { address: Some(address), .. } => *address,
            _ => self.context.host(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::PrepareSandbox => self.prepare_sandbox(),
            Action::Start { container, attempt } => self.start(container, attempt),
            Action::Stop { container, id, deadline, why } => {
                let Some(spec) =
                    self.workload.as_ref().ok().and_then(|pod| pod.container(&container)).cloned()
                else {
                    return;
                };
                let progress = self.state.containers.entry(container.clone()).or_default();
                let again = matches!(progress.busy, Busy::Stopping { .. });
                progress.busy = Busy::Stopping { deadline };
                let (context, pod) = (Arc::clone(&self.context), Arc::clone(&self.pod));
                let address = self.address();
                self.jobs.spawn(async move {
                    let stop =
                        Stop { pod: &pod, spec: &spec, id: &id, address, deadline, why, again };
                    let outcome = stop_container(&context, &stop).await;
                    Done::Stopped { container, outcome }
                });
            }
            Action::Remove { id } => {
                if !self.removing.insert(id.clone()) {
                    return;
                }
                let context = Arc::clone(&self.context);
                self.jobs.spawn(async move {
                    let outcome = context.runtime.remove_container(&id).await;
                    Done::Removed { id, outcome }
                });
            }
            Action::TearDown => self.tear_down(),
        }
    }

    fn prepare_sandbox(&mut self) {
        let Ok(workload) = self.workload.clone() else { return };
        self.state.sandbox = Sandbox::Preparing;
        let context = Arc::clone(&self.context);
        let attempt = context
            .runtime
            .sandboxes()
            .iter()
            .filter(|sandbox| sandbox.config.pod.uid == self.identity.uid)
            .map(|sandbox| sandbox.config.attempt + 1)
            .max()
            .unwrap_or(0);
        self.jobs.spawn(async move {
            Done::Sandbox(prepare_sandbox(&context, &workload, attempt).await)
        });
    }

    fn start(&mut self, container: String, attempt: u32) {
        let Sandbox::Ready { id: sandbox, address } = self.state.sandbox.clone() else { return };
        let Some(spec) =
            self.workload.as_ref().ok().and_then(|pod| pod.container(&container)).cloned()
        else {
            return;
        };
        let now = self.context.now();
        let progress = self.state.containers.entry(container.clone()).or_default();
        progress.busy = Busy::Starting;
        let back_off = match progress.exit() {
            Some(exit) => {
                let limits = self.context.config.back_off;
                progress.back_off.restarted(exit.finished_at, now, limits)
            }
            None => progress.back_off,
        };
        let (context, pod) = (Arc::clone(&self.context), Arc::clone(&self.pod));
        let host = context.host();
        self.jobs.spawn(async move {
            let start = Start {
                pod: &pod,
                spec: &spec,
                sandbox: &sandbox,
                address: address.unwrap_or(host),
                has_own_address: address.is_some(),
                attempt,
                back_off,
            };
            let outcome = start_container(&context, &start).await;
            Done::Started { container, outcome }
        });
    }

    /// Only after the last status has arrived: whoever watches sees how the containers ended.
    fn tear_down(&mut self) {
        if self.delete_object && !self.publisher.is_settled() {
            return;
        }
        self.state.tearing_down = true;
        self.removal_begun = true;
        let (context, pod) = (Arc::clone(&self.context), self.identity.clone());
        let delete = self.delete_object;
        self.jobs.spawn(async move {
            let removed = async {
                remove_pod(&context, &pod).await.map_err(|error| swell_telemetry::chain(&error))?;
                if delete {
                    delete_object(&context, &pod)
                        .await
                        .map_err(|error| swell_telemetry::chain(&error))?;
                }
                Ok(())
            };
            Done::TornDown(removed.await)
        });
    }

    /// Looks at the sockets of a container some time after it started.
    fn look_where_it_listens(&mut self, workload: &Workload, name: &str) {
        let Sandbox::Ready { address: Some(address), .. } = self.state.sandbox else { return };
        let Some(spec) = workload.container(name) else { return };
        let current = self.state.containers.get(name).and_then(|p| p.current.as_ref());
        let Some(id) = current.map(|run| run.id.clone()) else { return };
        let ports: BTreeSet<u16> = spec.ports.iter().map(|port| port.number).collect();
        for pause in LOOKS {
            let (context, id) = (Arc::clone(&self.context), id.clone());
            let (container, ports) = (name.to_owned(), ports.clone());
            self.jobs.spawn(async move {
                tokio::time::sleep(pause).await;
                let complaint = complaint(&context, &id, address, ports).await;
                Done::Looked { id, container, complaint }
            });
        }
    }
}

fn ready(sandbox: &SandboxStatus) -> Sandbox {
    Sandbox::Ready { id: sandbox.id.clone(), address: sandbox.config.address }
}
