//! The suite that every backend passes: what a node agent may rely on.
//!
//! A backend's test implements [`Subject`] and calls [`check`]; each behaviour is also a function of its
//! own, so that a failure names it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::runtime::{ContainerRuntime, RuntimeError};
use crate::types::{
    ContainerConfig, ContainerId, ContainerState, ContainerStatus, Exit, ExitReason, PodIdentity,
    Resources, SandboxConfig, SandboxStatus,
};

/// How long any change may take on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a container of the suite is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Run until SIGTERM.
    Run,
    /// Run until SIGKILL, with processes of its own where there are any.
    IgnoreTerm,
    /// End by itself with this code.
    Exit(i32),
    /// Pass every check before the start and then fail to start.
    CannotStart,
}

/// A backend under test.
pub trait Subject: Sync {
    /// The backend.
    fn runtime(&self) -> Arc<dyn ContainerRuntime>;
    /// The command that does this.
    fn command(&self, act: Act) -> Vec<String>;
    /// Waits until a started container is so far that signals meet its own handlers.
    fn settled<'a>(&'a self, container: &'a ContainerStatus) -> BoxFuture<'a, ()>;
    /// Whether any process of the container is left.
    fn is_gone(&self, container: &ContainerStatus) -> bool;
    /// Where logs may be written.
    fn log_root(&self) -> PathBuf;
}

/// Runs the whole suite.
///
/// # Panics
/// When the backend breaks the contract.
pub async fn check(subject: &dyn Subject) {
    a_container_runs_and_stops(subject).await;
    an_exit_is_reported_with_its_code(subject).await;
    a_failed_start_is_an_exit(subject).await;
    what_ignores_sigterm_is_killed_after_the_grace(subject).await;
    a_shorter_grace_shortens_a_stop(subject).await;
    nothing_is_made_twice(subject).await;
    wrong_states_are_refused(subject).await;
    stopping_a_sandbox_ends_its_containers(subject).await;
    commands_run_inside_a_container(subject).await;
}

async fn sandbox(subject: &dyn Subject, name: &str) -> SandboxStatus {
    let config = SandboxConfig {
        pod: PodIdentity {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
        },
        attempt: 0,
        address: None,
        log_dir: subject.log_root().join(name),
        labels: BTreeMap::from([("kept".to_owned(), "yes".to_owned())]),
    };
    subject.runtime().run_sandbox(config).await.expect("a sandbox")
}

fn container(subject: &dyn Subject, act: Act, attempt: u32) -> ContainerConfig {
    ContainerConfig {
        name: "main".to_owned(),
        attempt,
        image: "host".to_owned(),
        command: subject.command(act),
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        working_dir: None,
        run_as: None,
        resources: Resources::default(),
        rlimits: Vec::new(),
        labels: BTreeMap::from([("kept".to_owned(), "too".to_owned())]),
    }
}

async fn running(subject: &dyn Subject, sandbox: &SandboxStatus, act: Act) -> ContainerStatus {
    let runtime = subject.runtime();
    let config = container(subject, act, 0);
    let created = runtime.create_container(&sandbox.id, config).await.expect("created");
    let started = runtime.start_container(&created.id).await.expect("started");
    subject.settled(&started).await;
    started
}

async fn exited(subject: &dyn Subject, id: &ContainerId) -> Exit {
    let runtime = subject.runtime();
    let mut events = runtime.events();
    let wait = async {
        loop {
            if let ContainerState::Exited(exit) = runtime.container_status(id).expect("there").state
            {
                return exit;
            }
            // Lagging is a wake-up as well.
            drop(events.recv().await);
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("an exit, announced by an event")
}

async fn clean_up(subject: &dyn Subject, sandbox: &SandboxStatus) {
    let runtime = subject.runtime();
    runtime.stop_sandbox(&sandbox.id).await.expect("stopped");
    runtime.remove_sandbox(&sandbox.id).await.expect("removed");
    runtime.remove_sandbox(&sandbox.id).await.expect("removing what is gone is a success");
    let uid = &sandbox.config.pod.uid;
    assert!(runtime.list_pod(uid).is_empty(), "containers go with their sandbox");
    assert!(runtime.sandboxes().iter().all(|other| other.id != sandbox.id));
}

/// Created, running, stopped, removed; each step is seen in `list` and by an event.
pub async fn a_container_runs_and_stops(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "runs").await;
    assert_eq!(runtime.sandboxes().iter().filter(|s| s.id == sandbox.id).count(), 1);
    assert_eq!(sandbox.config.labels["kept"], "yes");
    let config = container(subject, Act::Run, 0);
    let created = runtime.create_container(&sandbox.id, config).await.expect("created");
    assert_eq!(created.state, ContainerState::Created);
    let started = runtime.start_container(&created.id).await.expect("started");
    assert!(started.state.is_running(), "{started:?}");
    assert_eq!(started.config.labels["kept"], "too");
    assert_eq!(runtime.list_pod("uid-runs"), std::slice::from_ref(&started));
    subject.settled(&started).await;
    runtime.stop_container(&created.id, DEADLINE).await.expect("stopped");
    let exit = exited(subject, &created.id).await;
    assert_eq!((exit.code, exit.signal, exit.reason), (143, Some(15), ExitReason::Error));
    assert!(exit.started_at.is_some_and(|started| started <= exit.finished_at));
    assert!(subject.is_gone(&started));
    runtime.stop_container(&created.id, DEADLINE).await.expect("stopping twice is a success");
    runtime.remove_container(&created.id).await.expect("removed");
    runtime.remove_container(&created.id).await.expect("removing twice is a success");
    clean_up(subject, &sandbox).await;
}

/// Codes 0 and others, with Kubernetes' reasons.
pub async fn an_exit_is_reported_with_its_code(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "exits").await;
    for (attempt, code, reason) in [(0, 0, ExitReason::Completed), (1, 3, ExitReason::Error)] {
        let config = container(subject, Act::Exit(code), attempt);
        let created = runtime.create_container(&sandbox.id, config).await.expect("created");
        runtime.start_container(&created.id).await.expect("started");
        let exit = exited(subject, &created.id).await;
        assert_eq!((exit.code, exit.signal, exit.reason), (code, None, reason));
    }
    assert_eq!(runtime.list_pod("uid-exits").len(), 2, "an exited container stays listed");
    clean_up(subject, &sandbox).await;
}

/// As containerd has it: exit code 128, reason `StartError`, a message.
pub async fn a_failed_start_is_an_exit(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "unstartable").await;
    let config = container(subject, Act::CannotStart, 0);
    let created = runtime.create_container(&sandbox.id, config).await.expect("created");
    let started = runtime.start_container(&created.id).await.expect("an exit and no error");
    let ContainerState::Exited(exit) = started.state else { panic!("{started:?}") };
    assert_eq!((exit.code, exit.reason), (128, ExitReason::StartError));
    assert!(exit.message.contains("execute"), "{}", exit.message);
    assert_eq!(exit.started_at, None);
    clean_up(subject, &sandbox).await;
}

/// The grace is waited for, then nothing is left.
pub async fn what_ignores_sigterm_is_killed_after_the_grace(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "stubborn").await;
    let started = running(subject, &sandbox, Act::IgnoreTerm).await;
    let grace = Duration::from_millis(300);
    let begun = tokio::time::Instant::now();
    runtime.stop_container(&started.id, grace).await.expect("stopped");
    assert!(begun.elapsed() >= grace, "killed {:?} too early", grace - begun.elapsed());
    let exit = exited(subject, &started.id).await;
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    assert!(subject.is_gone(&started));
    clean_up(subject, &sandbox).await;
}

/// An impatient second stop wins.
pub async fn a_shorter_grace_shortens_a_stop(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "impatient").await;
    let started = running(subject, &sandbox, Act::IgnoreTerm).await;
    let patient = runtime.stop_container(&started.id, Duration::from_secs(3600));
    let impatient = runtime.stop_container(&started.id, Duration::ZERO);
    let both = async { tokio::try_join!(patient, impatient) };
    tokio::time::timeout(DEADLINE, both).await.expect("soon").expect("stopped");
    assert!(subject.is_gone(&started));
    clean_up(subject, &sandbox).await;
}

/// Ids are made of pod, name and attempt: asking twice makes one.
pub async fn nothing_is_made_twice(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "twice").await;
    let again = runtime.run_sandbox(SandboxConfig::clone(&sandbox.config)).await;
    assert!(matches!(again, Err(RuntimeError::AlreadyExists { .. })), "{again:?}");
    let started = running(subject, &sandbox, Act::Run).await;
    let config = container(subject, Act::Run, 0);
    let again = runtime.create_container(&sandbox.id, config).await;
    assert!(matches!(again, Err(RuntimeError::AlreadyExists { .. })), "{again:?}");
    let again = runtime.start_container(&started.id).await;
    assert!(matches!(again, Err(RuntimeError::WrongState { .. })), "{again:?}");
    clean_up(subject, &sandbox).await;
}

/// Running things are not removed, unknown things are not started.
pub async fn wrong_states_are_refused(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "refused").await;
    let started = running(subject, &sandbox, Act::Run).await;
    let removed = runtime.remove_container(&started.id).await;
    assert!(matches!(removed, Err(RuntimeError::WrongState { .. })), "{removed:?}");
    let removed = runtime.remove_sandbox(&sandbox.id).await;
    assert!(matches!(removed, Err(RuntimeError::WrongState { .. })), "{removed:?}");
    let unknown = ContainerId::of(&sandbox.config.pod, "nobody", 0);
    let started = runtime.start_container(&unknown).await;
    assert!(matches!(started, Err(RuntimeError::NotFound { .. })), "{started:?}");
    let known = runtime.container_status(&unknown);
    assert!(matches!(known, Err(RuntimeError::NotFound { .. })), "{known:?}");
    runtime.stop_sandbox(&sandbox.id).await.expect("stopped");
    let config = container(subject, Act::Run, 7);
    let late = runtime.create_container(&sandbox.id, config).await;
    assert!(matches!(late, Err(RuntimeError::WrongState { .. })), "{late:?}");
    clean_up(subject, &sandbox).await;
}

/// Without grace.
pub async fn stopping_a_sandbox_ends_its_containers(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "ended").await;
    let started = running(subject, &sandbox, Act::IgnoreTerm).await;
    runtime.stop_sandbox(&sandbox.id).await.expect("stopped");
    assert!(subject.is_gone(&started));
    let status = runtime.container_status(&started.id).expect("there");
    assert!(matches!(status.state, ContainerState::Exited(_)), "{status:?}");
    clean_up(subject, &sandbox).await;
}

/// Exit codes come back; what takes too long is killed.
pub async fn commands_run_inside_a_container(subject: &dyn Subject) {
    let runtime = subject.runtime();
    let sandbox = sandbox(subject, "commands").await;
    let started = running(subject, &sandbox, Act::Run).await;
    for code in [0, 7] {
        let command = subject.command(Act::Exit(code));
        let output = runtime.exec(&started.id, command, DEADLINE).await.expect("it ran");
        assert_eq!(output.exit_code, code);
    }
    let limit = Duration::from_millis(200);
    let slow = runtime.exec(&started.id, subject.command(Act::IgnoreTerm), limit).await;
    assert!(matches!(slow, Err(RuntimeError::ExecTimeout { .. })), "{slow:?}");
    runtime.stop_container(&started.id, DEADLINE).await.expect("stopped");
    let late = runtime.exec(&started.id, subject.command(Act::Exit(0)), limit).await;
    assert!(matches!(late, Err(RuntimeError::WrongState { .. })), "{late:?}");
    clean_up(subject, &sandbox).await;
}
