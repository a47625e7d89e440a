//! Tables for what a pod needs in each state, and a random walk through whole lives of pods.

use proptest::prelude::*;
use serde_json::{Value, json};
use swell_runtime::{ExitReason, PodIdentity, SandboxId};

use super::*;
use crate::pod::spec::Offer;
use crate::pod::state::{Termination, Unhealthy};

const LIMITS: BackOffLimits = BackOffLimits::KUBELET;
const NOW: TimestampMs = TimestampMs(1_000_000);

fn workload(policy: &str, init: &[(&str, bool)], main: &[&str]) -> Workload {
    let container = |name: &str| json!({"name": name, "image": "host", "command": ["/bin/true"]});
    let init: Vec<Value> = init
        .iter()
        .map(|(name, sidecar)| {
            let mut container = container(name);
            if *sidecar {
                container["restartPolicy"] = json!("Always");
            }
            container
        })
        .collect();
    let main: Vec<Value> = main.iter().map(|name| container(name)).collect();
    let pod = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "spec": {"restartPolicy": policy, "initContainers": init, "containers": main,
            "terminationGracePeriodSeconds": 30},
    });
    let offer = Offer { runtime_class: "process".to_owned(), host_image_only: true };
    Workload::from_pod(&serde_json::from_value(pod).expect("a pod"), &offer).expect("suitable")
}

fn identity() -> PodIdentity {
    PodIdentity { namespace: "shop".into(), name: "web".into(), uid: "u1".into() }
}

fn id(name: &str, attempt: u32) -> ContainerId {
    ContainerId::of(&identity(), name, attempt)
}

fn sandbox() -> Sandbox {
    Sandbox::Ready { id: SandboxId::of(&identity(), 0), address: None }
}

fn exit(code: i32) -> Exit {
    Exit {
        code,
        signal: None,
        reason: if code == 0 { ExitReason::Completed } else { ExitReason::Error },
        message: String::new(),
        started_at: Some(NOW),
        finished_at: NOW,
    }
}

fn run(name: &str, attempt: u32, state: ContainerState) -> Progress {
    Progress {
        current: Some(Run { id: id(name, attempt), attempt, state }),
        started: true,
        ..Progress::default()
    }
}

fn running(name: &str) -> (String, Progress) {
    (name.to_owned(), run(name, 0, ContainerState::Running { started_at: NOW }))
}

fn exited(name: &str, code: i32) -> (String, Progress) {
    (name.to_owned(), run(name, 0, ContainerState::Exited(exit(code))))
}

fn with(containers: impl IntoIterator<Item = (String, Progress)>) -> PodState {
    PodState {
        sandbox: sandbox(),
        containers: containers.into_iter().collect(),
        ..PodState::default()
    }
}

/// Actions in short: `prepare`, `start web 1`, `stop web 30s`, `remove …`, `tear down`.
fn brief(plan: &Plan) -> Vec<String> {
    plan.actions
        .iter()
        .map(|action| match action {
            Action::PrepareSandbox => "prepare".to_owned(),
            Action::Start { container, attempt } => format!("start {container} {attempt}"),
            Action::Stop { container, deadline, .. } => {
                format!("stop {container} {}", deadline.since(NOW))
            }
            Action::Remove { id } => format!("remove {id}"),
            Action::TearDown => "tear down".to_owned(),
        })
        .collect()
}

fn check(workload: &Workload, state: &PodState, actions: &[&str], end: Option<PodEnd>) -> Plan {
    let plan = plan(workload, state, LIMITS, NOW);
    assert_eq!(brief(&plan), actions, "{state:#?}");
    assert_eq!(plan.end, end);
    plan
}

#[test]
fn a_pod_gets_its_sandbox_then_init_containers_in_order_then_the_rest() {
    let pod = workload("Always", &[("one", false), ("two", false)], &["a", "b"]);
    check(&pod, &PodState::default(), &["prepare"], None);
    check(&pod, &PodState { sandbox: Sandbox::Preparing, ..PodState::default() }, &[], None);
    check(&pod, &with([]), &["start one 0"], None);
    let plan = check(&pod, &with([running("one")]), &[], None);
    let initializing = Shown::Waiting { reason: "PodInitializing", message: String::new() };
    assert_eq!((&plan.shown["a"], &plan.shown["two"]), (&initializing, &initializing));
    check(&pod, &with([exited("one", 0)]), &["start two 0"], None);
    check(&pod, &with([exited("one", 0), exited("two", 0)]), &["start a 0", "start b 0"], None);
    check(&pod, &with([exited("one", 0), exited("two", 0), running("a")]), &["start b 0"], None);
}

#[test]
fn policies_decide_what_an_exit_means() {
    let end = |policy, codes: [i32; 2]| {
        let pod = workload(policy, &[], &["a", "b"]);
        let state = with([exited("a", codes[0]), exited("b", codes[1])]);
        let plan = plan(&pod, &state, LIMITS, NOW);
        (brief(&plan), plan.end)
    };
    let none = Vec::<String>::new();
    assert_eq!(end("Never", [0, 0]), (none.clone(), Some(PodEnd::Succeeded)));
    assert_eq!(end("Never", [0, 3]), (none.clone(), Some(PodEnd::Failed)));
    assert_eq!(end("OnFailure", [0, 0]), (none, Some(PodEnd::Succeeded)));
    assert_eq!(end("OnFailure", [0, 3]), (vec!["start b 1".to_owned()], None));
    assert_eq!(end("Always", [0, 3]), (vec!["start a 1".to_owned(), "start b 1".to_owned()], None));
}

#[test]
fn init_containers_fail_the_pod_or_are_tried_again() {
    let state = with([exited("one", 1)]);
    check(&workload("Never", &[("one", false)], &["a"]), &state, &[], Some(PodEnd::Failed));
    check(&workload("Always", &[("one", false)], &["a"]), &state, &["start one 1"], None);
    let done = with([exited("one", 0)]);
    check(&workload("Always", &[("one", false)], &["a"]), &done, &["start a 0"], None);
}

#[test]
fn sidecars_start_first_stay_and_go_last() {
    let pod = workload("Never", &[("proxy", true)], &["a"]);
    check(&pod, &with([]), &["start proxy 0"], None);
    let mut starting = with([running("proxy")]);
    starting.containers.get_mut("proxy").expect("there").started = false;
    check(&pod, &starting, &[], None);
    check(&pod, &with([running("proxy")]), &["start a 0"], None);
    check(&pod, &with([exited("proxy", 0), running("a")]), &["start proxy 1"], None);
    check(&pod, &with([running("proxy"), exited("a", 0)]), &["stop proxy 30s"], None);
    check(&pod, &with([exited("proxy", 143), exited("a", 0)]), &[], Some(PodEnd::Succeeded));
    let mut going = with([running("proxy"), running("a")]);
    going.termination = Some(Termination { drained_at: NOW, deadline: NOW + DurationMs(5000) });
    check(&pod, &going, &["stop a 5s"], None);
}

#[test]
fn a_container_in_back_off_waits_and_says_so() {
    let pod = workload("Always", &[], &["a"]);
    let mut state = with([exited("a", 1)]);
    let progress = state.containers.get_mut("a").expect("there");
    progress.back_off = progress.back_off.restarted(NOW, NOW, LIMITS);
    let plan = check(&pod, &state, &[], None);
    assert_eq!(plan.shown["a"], Shown::BackOff { pause: DurationMs::from_secs(10) });
    assert_eq!(plan.wake_at, Some(NOW + DurationMs::from_secs(10)));
    let later = super::plan(&pod, &state, LIMITS, NOW + DurationMs::from_secs(10));
    assert_eq!(brief(&later), ["start a 1"]);
}

#[test]
fn what_was_refused_is_tried_again_later_and_shows_why() {
    let pod = workload("Never", &[], &["a"]);
    let refusal = Refusal {
        reason: "CreateContainerError",
        message: "no such file".to_owned(),
        retry_at: NOW + DurationMs(1),
    };
    let progress = Progress { refusal: Some(refusal.clone()), ..Progress::default() };
    let state = with([("a".to_owned(), progress)]);
    let plan = check(&pod, &state, &[], None);
    let shown = Shown::Waiting { reason: refusal.reason, message: refusal.message.clone() };
    assert_eq!((&plan.shown["a"], plan.wake_at), (&shown, Some(refusal.retry_at)));
    assert_eq!(brief(&super::plan(&pod, &state, LIMITS, refusal.retry_at)), ["start a 0"]);
    let waiting = PodState { sandbox: Sandbox::Refused(refusal.clone()), ..PodState::default() };
    let plan = check(&pod, &waiting, &[], None);
    assert_eq!((&plan.shown["a"], plan.wake_at), (&shown, Some(refusal.retry_at)));
}

#[test]
fn an_unhealthy_container_is_stopped_with_the_probes_grace() {
    let pod = workload("Always", &[], &["a"]);
    let mut state = with([running("a")]);
    let progress = state.containers.get_mut("a").expect("there");
    progress.unhealthy = Some(Unhealthy { probe: ProbeKind::Liveness, grace: None });
    check(&pod, &state, &["stop a 30s"], None);
    let progress = state.containers.get_mut("a").expect("there");
    let grace = Some(DurationMs(1500));
    progress.unhealthy = Some(Unhealthy { probe: ProbeKind::Liveness, grace });
    check(&pod, &state, &["stop a 1s500ms"], None);
    let progress = state.containers.get_mut("a").expect("there");
    progress.busy = Busy::Stopping { deadline: NOW };
    check(&pod, &state, &[], None);
}

#[test]
fn termination_drains_stops_and_tears_down() {
    let pod = workload("Always", &[], &["a", "b"]);
    let mut state = with([running("a"), exited("b", 0)]);
    let deadline = NOW + DurationMs(20_000);
    state.termination = Some(Termination { drained_at: NOW + DurationMs(300), deadline });
    let plan = check(&pod, &state, &[], None);
    assert_eq!(plan.wake_at, Some(NOW + DurationMs(300)));
    state.termination = Some(Termination { drained_at: NOW, deadline });
    check(&pod, &state, &["stop a 20s"], None);
    state.containers.get_mut("a").expect("there").busy = Busy::Stopping { deadline };
    check(&pod, &state, &[], None);
    state.termination = Some(Termination { drained_at: NOW, deadline: NOW + DurationMs(1000) });
    check(&pod, &state, &["stop a 1s"], None);
    let mut ended = with([exited("a", 143), exited("b", 0)]);
    ended.termination = state.termination;
    check(&pod, &ended, &["tear down"], Some(PodEnd::Failed));
    ended.tearing_down = true;
    check(&pod, &ended, &[], Some(PodEnd::Failed));
    let never_ran = PodState { termination: state.termination, ..PodState::default() };
    check(&pod, &never_ran, &["tear down"], None);
}

#[test]
fn old_runs_are_forgotten() {
    let pod = workload("Always", &[], &["a"]);
    let mut state = with([running("a")]);
    state.containers.get_mut("a").expect("there").older = vec![id("a", 0)];
    check(&pod, &state, &["remove u1_a_0"], None);
}

/// What may happen between two looks.
#[derive(Clone, Debug)]
enum Step {
    /// A start that was under way works or is refused.
    StartDone { idx: usize, refused: bool },
    /// A running container ends by itself.
    Ends { idx: usize, code: i32 },
    /// A stop that was under way is done.
    StopDone { idx: usize },
    /// The sandbox is made or refused.
    SandboxDone { refused: bool },
    /// A probe finds a container dead.
    Dies { idx: usize },
    /// Time passes.
    Passes { ms: i64 },
    /// The pod is deleted.
    Deleted { grace_ms: i64 },
}

fn steps() -> impl Strategy<Value = Step> {
    let idx = 0_usize..4;
    prop_oneof![
        4 => (idx.clone(), prop::bool::weighted(0.2))
            .prop_map(|(idx, refused)| Step::StartDone { idx, refused }),
        2 => (idx.clone(), 0..3_i32).prop_map(|(idx, code)| Step::Ends { idx, code }),
        2 => idx.clone().prop_map(|idx| Step::StopDone { idx }),
        3 => prop::bool::weighted(0.2).prop_map(|refused| Step::SandboxDone { refused }),
        1 => idx.prop_map(|idx| Step::Dies { idx }),
        3 => (0..400_000_i64).prop_map(|ms| Step::Passes { ms }),
        1 => (0..60_000_i64).prop_map(|grace_ms| Step::Deleted { grace_ms }),
    ]
}

/// A node that does what plans say, and checks that they are sane.
struct World {
    workload: Workload,
    state: PodState,
    now: TimestampMs,
    torn_down: bool,
}

impl World {
    fn look(&mut self) {
        let first = plan(&self.workload, &self.state, LIMITS, self.now);
        self.state.end = self.state.end.or(first.end.filter(|_| self.state.termination.is_none()));
        for action in &first.actions {
            self.act(action);
        }
        let again = plan(&self.workload, &self.state, LIMITS, self.now);
        assert_eq!(again.actions, [], "the same is asked twice: {:#?}", self.state);
        let names = self.workload.containers().map(|spec| &spec.name);
        assert!(names.eq(first.shown.keys()) || first.shown.len() >= self.workload.main.len());
        if let Some(wake_at) = first.wake_at {
            assert!(wake_at > self.now, "waking at once would spin");
        }
    }

    fn act(&mut self, action: &Action) {
        assert!(!self.torn_down, "{action:?} after the end");
        match action {
            Action::PrepareSandbox => {
                assert!(!matches!(self.state.sandbox, Sandbox::Ready { .. } | Sandbox::Preparing));
                self.state.sandbox = Sandbox::Preparing;
            }
            Action::Start { container, attempt } => {
                assert!(self.state.termination.is_none() && self.state.end.is_none());
                assert!(matches!(self.state.sandbox, Sandbox::Ready { .. }));
                let spec = self.workload.container(container).expect("of the pod");
                if spec.role == Role::Main {
                    let init = self.workload.init.iter().filter(|spec| spec.role == Role::Init);
                    for before in init {
                        let exit = self.state.containers.get(&before.name).and_then(Progress::exit);
                        assert_eq!(
                            exit.map(|exit| exit.code),
                            Some(0),
                            "{container} came too early"
                        );
                    }
                }
                let progress = self.state.containers.entry(container.clone()).or_default();
                assert!(!progress.is_running() && progress.busy == Busy::Idle);
                let due = progress.current.as_ref().map_or(0, |run| run.attempt + 1);
                assert_eq!(*attempt, due, "each run has its own number");
                if let Some(exit) = progress.exit() {
                    let left = progress.back_off.remaining(exit.finished_at, self.now, LIMITS);
                    assert_eq!(left, DurationMs::ZERO, "restarted before its pause was over");
                    progress.back_off =
                        progress.back_off.restarted(exit.finished_at, self.now, LIMITS);
                }
                progress.busy = Busy::Starting;
            }
            Action::Stop { container, deadline, .. } => {
                let progress = self.state.containers.get_mut(container).expect("known");
                assert!(progress.is_running());
                progress.busy = Busy::Stopping { deadline: *deadline };
            }
            Action::Remove { id } => {
                for progress in self.state.containers.values_mut() {
                    progress.older.retain(|older| older != id);
                }
            }
            Action::TearDown => {
                let mut left = self.state.containers.values();
                assert!(left.all(|p| !p.is_running() && p.busy == Busy::Idle));
                self.state.tearing_down = true;
                self.torn_down = true;
            }
        }
    }

    fn happen(&mut self, step: &Step) {
        let name = |idx: usize| {
            let names: Vec<String> =
                self.workload.containers().map(|spec| spec.name.clone()).collect();
            names[idx % names.len()].clone()
        };
        let (now, retry_at) = (self.now, self.now + DurationMs(10_000));
        let refusal = |reason| Refusal { reason, message: String::new(), retry_at };
        match step {
            Step::StartDone { idx, refused } => {
                let name = name(*idx);
                let progress = self.state.containers.entry(name.clone()).or_default();
                if progress.busy != Busy::Starting {
                    return;
                }
                progress.busy = Busy::Idle;
                if *refused {
                    progress.refusal = Some(refusal("CreateContainerError"));
                    return;
                }
                let attempt = progress.current.as_ref().map_or(0, |run| run.attempt + 1);
                let state = ContainerState::Running { started_at: now };
                progress.previous = progress.current.take();
                progress.current = Some(Run { id: id(&name, attempt), attempt, state });
                (progress.refusal, progress.started, progress.unhealthy) = (None, true, None);
            }
            Step::Ends { idx, code } => self.end(&name(*idx), *code),
            Step::StopDone { idx } => {
                let name = name(*idx);
                let progress = self.state.containers.entry(name.clone()).or_default();
                if matches!(progress.busy, Busy::Stopping { .. }) {
                    progress.busy = Busy::Idle;
                    self.end(&name, 143);
                }
            }
            Step::SandboxDone { refused } => {
                if self.state.sandbox == Sandbox::Preparing {
                    let refused =
                        refused.then(|| Sandbox::Refused(refusal("FailedCreatePodSandBox")));
                    self.state.sandbox = refused.unwrap_or_else(sandbox);
                }
            }
            Step::Dies { idx } => {
                let name = name(*idx);
                let progress = self.state.containers.entry(name).or_default();
                if progress.is_running() {
                    let probe = ProbeKind::Liveness;
                    progress.unhealthy = Some(Unhealthy { probe, grace: None });
                }
            }
            Step::Passes { ms } => self.now = now + DurationMs(*ms),
            Step::Deleted { grace_ms } => {
                let grace = DurationMs(*grace_ms);
                self.state.termination = Some(match self.state.termination {
                    Some(earlier) => earlier.shortened(now + grace),
                    None => Termination::new(now, grace, DurationMs(300), true),
                });
            }
        }
    }

    fn end(&mut self, name: &str, code: i32) {
        let now = self.now;
        let progress = self.state.containers.entry(name.to_owned()).or_default();
        if progress.is_running()
            && let Some(run) = &mut progress.current
        {
            run.state = ContainerState::Exited(Exit { finished_at: now, ..exit(code) });
            (progress.started, progress.unhealthy) = (false, None);
        }
    }

    /// Everything under way is finished and every pause waited for; how often that took a look.
    fn settle(&mut self) -> usize {
        for round in 0..200 {
            self.look();
            let before = format!("{:?}", self.state);
            for idx in 0..self.workload.containers().count() {
                self.happen(&Step::StartDone { idx, refused: false });
                self.happen(&Step::StopDone { idx });
            }
            self.happen(&Step::SandboxDone { refused: false });
            let init = self.workload.init.iter().filter(|spec| spec.role == Role::Init);
            let init: Vec<String> = init.map(|spec| spec.name.clone()).collect();
            init.iter().for_each(|name| self.end(name, 0));
            let plan = plan(&self.workload, &self.state, LIMITS, self.now);
            if let Some(wake_at) = plan.wake_at {
                self.now = wake_at;
            } else if before == format!("{:?}", self.state) && plan.actions.is_empty() {
                return round;
            }
        }
        panic!("the pod does not come to rest: {:#?}", self.state);
    }
}

proptest! {
    /// Through any life: nothing is started twice, too early or after the end; plans are idempotent; and
    /// once nothing disturbs it any more a pod runs, has ended, or is gone.
    #[test]
    fn a_pod_goes_its_way_whatever_happens(
        policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        sidecar in any::<bool>(),
        life in prop::collection::vec(steps(), 0..60),
    ) {
        let mut world = World {
            workload: workload(policy, &[("init", false), ("side", sidecar)], &["a", "b"]),
            state: PodState::default(),
            now: NOW,
            torn_down: false,
        };
        for step in &life {
            world.look();
            if !world.torn_down {
                world.happen(step);
            }
        }
        world.settle();
        let deleted = world.state.termination.is_some();
        prop_assert_eq!(world.torn_down, deleted);
        if !deleted && world.state.end.is_none() {
            let open = |spec: &ContainerSpec| {
                let progress = &world.state.containers[&spec.name];
                let done = policy == "OnFailure" || policy == "Never";
                progress.is_running() || (done && progress.exit().is_some())
            };
            prop_assert!(world.workload.main.iter().all(open), "{:#?}", world.state);
        }
    }
}
