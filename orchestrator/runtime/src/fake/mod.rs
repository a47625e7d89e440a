//! Simulated containers: nothing runs, everything behaves as the contract says. For scale tests with
//! thousands of nodes, and for tests of what stands above a runtime.
//!
//! A container's command is its script ([`script`]); a command that is no script runs for ever.

mod script;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use swell_env::Clock;
use swell_model::TimestampMs;
use tokio::sync::{broadcast, watch as cell};

use self::script::Script;
use crate::runtime::{ContainerRuntime, RuntimeError};
use crate::types::{
    CgroupPaths, ContainerConfig, ContainerEvent, ContainerId, ContainerState, ContainerStatus,
    ExecOutput, Exit, ExitReason, Isolation, RuntimeVersion, SandboxConfig, SandboxId,
    SandboxStatus,
};

/// Events kept for a receiver that lags.
const EVENTS_MAX: usize = 1024;

/// How the simulation behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FakeConfig {
    /// How long a start takes.
    pub start_delay: Duration,
    /// How long a container takes to end after SIGTERM.
    pub stop_delay: Duration,
}

/// See the module's documentation. Cheap to clone; clones share the containers.
#[derive(Clone)]
pub struct FakeRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    config: FakeConfig,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    events: broadcast::Sender<ContainerEvent>,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<SandboxId, SandboxStatus>,
    containers: BTreeMap<ContainerId, cell::Sender<ContainerStatus>>,
}

impl fmt::Debug for FakeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeRuntime").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl FakeRuntime {
    /// A runtime without containers.
    #[must_use]
    pub fn new(config: FakeConfig, clock: Arc<dyn Clock>) -> Self {
        let events = broadcast::channel(EVENTS_MAX).0;
        Self { inner: Arc::new(Inner { config, clock, state: Mutex::default(), events }) }
    }

    /// Ends a running container as if its program had ended by itself.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`].
    pub fn end(&self, id: &ContainerId, code: i32) -> Result<(), RuntimeError> {
        self.inner.container(id)?;
        self.inner.end(id, code, None);
        Ok(())
    }

    /// The addresses in use, one for each sandbox that has one.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.inner.state.lock().sandboxes.values().filter_map(|s| s.config.address).collect()
    }
}

impl Inner {
    fn container(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let state = self.state.lock();
        state
            .containers
            .get(id)
            .map(|cell| cell.borrow().clone())
            .ok_or_else(|| RuntimeError::NotFound { what: "container", id: id.as_str().to_owned() })
    }

    fn set(&self, id: &ContainerId, next: ContainerState) -> Result<ContainerStatus, RuntimeError> {
        let mut status = self.container(id)?;
        status.state = next;
        if let Some(cell) = self.state.lock().containers.get(id) {
            cell.send_replace(status.clone());
        }
        let event = ContainerEvent { pod_uid: status.pod.uid.clone(), container: id.clone() };
        // Nobody listening is fine: a later listener looks at everything first.
        drop(self.events.send(event));
        Ok(status)
    }

    /// Ends a container if it runs.
    fn end(&self, id: &ContainerId, code: i32, signal: Option<i32>) {
        let Ok(status) = self.container(id) else { return };
        let ContainerState::Running { started_at } = status.state else { return };
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        let exit = self.exit(code, signal, reason, String::new(), Some(started_at));
        self.set(id, ContainerState::Exited(exit)).expect("looked up just now");
    }

    fn exit(
        &self,
        code: i32,
        signal: Option<i32>,
        reason: ExitReason,
        message: String,
        started_at: Option<TimestampMs>,
    ) -> Exit {
        Exit { code, signal, reason, message, started_at, finished_at: self.clock.now() }
    }
}

impl FakeRuntime {
    async fn start(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let status = self.inner.container(id)?;
        if status.state != ContainerState::Created {
            return Err(RuntimeError::WrongState {
                what: "container",
                id: id.as_str().to_owned(),
                state: if status.state.is_running() { "running" } else { "exited" },
                needed: "make a new one with the next attempt",
            });
        }
        if !self.inner.config.start_delay.is_zero() {
            tokio::time::sleep(self.inner.config.start_delay).await;
        }
        let script = Script::parse(&status.config.command);
        if script == Script::CannotStart {
            let message = "execute: the script says that it cannot start".to_owned();
            let exit = self.inner.exit(128, None, ExitReason::StartError, message, None);
            return self.inner.set(id, ContainerState::Exited(exit));
        }
        let started_at = self.inner.clock.now();
        let status = self.inner.set(id, ContainerState::Running { started_at })?;
        if let Script::Exit { code, after } = script {
            let (weak, id) = (Arc::downgrade(&self.inner), id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                if let Some(inner) = weak.upgrade() {
                    inner.end(&id, code, None);
                }
            });
        }
        Ok(status)
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let Ok(status) = self.inner.container(id) else { return Ok(()) };
        if !status.state.is_running() {
            return Ok(());
        }
        let Some(mut state) =
            self.inner.state.lock().containers.get(id).map(cell::Sender::subscribe)
        else {
            return Ok(());
        };
        let obeys = Script::parse(&status.config.command) != Script::IgnoreTerm
            && self.inner.config.stop_delay < grace;
        let (span, code, signal) =
            if obeys { (self.inner.config.stop_delay, 143, 15) } else { (grace, 137, 9) };
        tokio::select! {
            () = tokio::time::sleep(span) => self.inner.end(id, code, Some(signal)),
            // Ended by itself, or by a call with a shorter grace.
            _ = state.wait_for(|status| !status.state.is_running()) => {}
        }
        Ok(())
    }

    fn create(
        &self,
        sandbox_id: &SandboxId,
        config: ContainerConfig,
    ) -> Result<ContainerStatus, RuntimeError> {
        let mut state = self.inner.state.lock();
        let sandbox = state.sandboxes.get(sandbox_id).ok_or_else(|| RuntimeError::NotFound {
            what: "sandbox",
            id: sandbox_id.as_str().to_owned(),
        })?;
        if !sandbox.ready {
            return Err(RuntimeError::WrongState {
                what: "sandbox",
                id: sandbox_id.as_str().to_owned(),
                state: "stopped",
                needed: "make a new one",
            });
        }
        let pod = sandbox.config.pod.clone();
        let id = ContainerId::of(&pod, &config.name, config.attempt);
        let log_path =
            sandbox.config.log_dir.join(&config.name).join(format!("{}.log", config.attempt));
        if state.containers.contains_key(&id) {
            return Err(RuntimeError::AlreadyExists {
                what: "container",
                id: id.as_str().to_owned(),
            });
        }
        if Script::parse(&config.command) == Script::CannotCreate {
            let message = "the script says that it cannot be created".to_owned();
            return Err(RuntimeError::Unrunnable { message });
        }
        let status = ContainerStatus {
            id: id.clone(),
            sandbox: sandbox_id.clone(),
            pod,
            config: Arc::new(config),
            created_at: self.inner.clock.now(),
            state: ContainerState::Created,
            root_pids: Vec::new(),
            cgroups: CgroupPaths::default(),
            log_path,
        };
        state.containers.insert(id, cell::Sender::new(status.clone()));
        Ok(status)
    }

    fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let Ok(status) = self.inner.container(id) else { return Ok(()) };
        if status.state.is_running() {
            return Err(RuntimeError::WrongState {
                what: "container",
                id: id.as_str().to_owned(),
                state: "running",
                needed: "stop it first",
            });
        }
        self.inner.state.lock().containers.remove(id);
        Ok(())
    }

    async fn run_command(
        &self,
        id: &ContainerId,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<ExecOutput, RuntimeError> {
        if !self.inner.container(id)?.state.is_running() {
            return Err(RuntimeError::WrongState {
                what: "container",
                id: id.as_str().to_owned(),
                state: "not running",
                needed: "a command needs a running one",
            });
        }
        let (code, after) = match Script::parse(&command) {
            Script::Exit { code, after } => (code, after),
            Script::CannotStart | Script::CannotCreate => {
                return Err(RuntimeError::Unrunnable { message: "the script says so".to_owned() });
            }
            Script::Run | Script::IgnoreTerm => (0, Duration::MAX),
        };
        if after > limit {
            tokio::time::sleep(limit).await;
            return Err(RuntimeError::ExecTimeout { timeout: limit });
        }
        tokio::time::sleep(after).await;
        Ok(ExecOutput { exit_code: code, output: Vec::new() })
    }
}

impl ContainerRuntime for FakeRuntime {
    fn version(&self) -> RuntimeVersion {
        RuntimeVersion {
            name: "fake",
            version: swell_telemetry::VERSION,
            host_image_only: false,
            isolation: Isolation {
                complete: false,
                message: "containers are simulated: nothing runs".to_owned(),
            },
        }
    }

    fn run_sandbox(
        &self,
        config: SandboxConfig,
    ) -> BoxFuture<'_, Result<SandboxStatus, RuntimeError>> {
        let id = SandboxId::of(&config.pod, config.attempt);
        let mut state = self.inner.state.lock();
        let made = match state.sandboxes.entry(id.clone()) {
            Entry::Occupied(_) => {
                Err(RuntimeError::AlreadyExists { what: "sandbox", id: id.as_str().to_owned() })
            }
            Entry::Vacant(free) => {
                let config = Arc::new(config);
                let created_at = self.inner.clock.now();
                Ok(free.insert(SandboxStatus { id, config, created_at, ready: true }).clone())
            }
        };
        std::future::ready(made).boxed()
    }

    fn stop_sandbox<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), RuntimeError>> {
        for container in self.list().iter().filter(|container| container.sandbox == *id) {
            self.inner.end(&container.id, 137, Some(9));
        }
        if let Some(sandbox) = self.inner.state.lock().sandboxes.get_mut(id) {
            sandbox.ready = false;
        }
        std::future::ready(Ok(())).boxed()
    }

    fn remove_sandbox<'a>(&'a self, id: &'a SandboxId) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let mut state = self.inner.state.lock();
        let removed = match state.sandboxes.get(id) {
            Some(sandbox) if sandbox.ready => Err(RuntimeError::WrongState {
                what: "sandbox",
                id: id.as_str().to_owned(),
                state: "ready",
                needed: "stop it first",
            }),
            _ => {
                state.sandboxes.remove(id);
                state.containers.retain(|_, cell| cell.borrow().sandbox != *id);
                Ok(())
            }
        };
        std::future::ready(removed).boxed()
    }

    fn create_container<'a>(
        &'a self,
        sandbox: &'a SandboxId,
        config: ContainerConfig,
    ) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        std::future::ready(self.create(sandbox, config)).boxed()
    }

    fn start_container<'a>(
        &'a self,
        id: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        self.start(id).boxed()
    }

    fn stop_container<'a>(
        &'a self,
        id: &'a ContainerId,
        grace: Duration,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.stop(id, grace).boxed()
    }

    fn remove_container<'a>(
        &'a self,
        id: &'a ContainerId,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        std::future::ready(self.remove(id)).boxed()
    }

    fn sandboxes(&self) -> Vec<SandboxStatus> {
        self.inner.state.lock().sandboxes.values().cloned().collect()
    }

    fn list(&self) -> Vec<ContainerStatus> {
        let state = self.inner.state.lock();
        state.containers.values().map(|cell| cell.borrow().clone()).collect()
    }

    fn list_pod(&self, pod_uid: &str) -> Vec<ContainerStatus> {
        let state = self.inner.state.lock();
        let cells = state.containers.values().map(cell::Sender::borrow);
        cells.filter(|status| status.pod.uid == pod_uid).map(|status| status.clone()).collect()
    }

    fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        self.inner.container(id)
    }

    fn exec<'a>(
        &'a self,
        id: &'a ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<ExecOutput, RuntimeError>> {
        self.run_command(id, command, timeout).boxed()
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.inner.events.subscribe()
    }
}
