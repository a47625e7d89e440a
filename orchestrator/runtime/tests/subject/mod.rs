//! A node with the process backend in a directory of its own; whatever it started is gone when it is dropped.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use swell_env::SystemClock;
use swell_runtime::contract::{Act, Subject};
use swell_runtime::{
    CgroupUse, ContainerConfig, ContainerRuntime, ContainerState, ContainerStatus, Exit,
    OpenRuntimeError, PodIdentity, ProcessConfig, ProcessRuntime, Resources, SHIM_ARG,
    SandboxConfig, SandboxStatus, ShimCommand,
};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) dir: TempDir,
    /// State directory of the runtime that stands in while none is open.
    spare: TempDir,
    pub(crate) config: ProcessConfig,
    pub(crate) runtime: ProcessRuntime,
}

pub(crate) fn shell(script: &str) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// Whether a process runs; one that has ended and is not reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

pub(crate) fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) fn kill_shim_of(root: i32) {
    kill(Pid::from_raw(parent_of(root)), Signal::SIGKILL).unwrap();
}

/// A file system over a folder, taken away when this is dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this user may not mount.
    pub(crate) fn tmpfs(over: &Path, options: &str) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(over).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(over.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        match Command::new("umount").arg("-l").arg(&self.0).status() {
            Ok(status) if status.success() => {}
            outcome => eprintln!("{} stays mounted: {outcome:?}", self.0.display()),
        }
    }
}

impl Node {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut ProcessConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shim = ShimCommand {
            program: env!("CARGO_BIN_EXE_swell-shim-test").into(),
            args: vec![SHIM_ARG.into()],
        };
        let mut config = ProcessConfig::new(dir.path().join("state"), shim);
        config.cgroups = CgroupUse::Off;
        change(&mut config);
        let runtime = open(&config).await.unwrap();
        Self { dir, spare: tempfile::tempdir().unwrap(), config, runtime }
    }

    pub(crate) async fn try_open(&self) -> Result<ProcessRuntime, OpenRuntimeError> {
        open(&self.config).await
    }

    /// Replaces the runtime by one on another directory, as if the agent had been killed.
    pub(crate) fn drop_runtime(&mut self) {
        self.spare = tempfile::tempdir().unwrap();
        let elsewhere =
            ProcessConfig { state_dir: self.spare.path().to_owned(), ..self.config.clone() };
        let idle = futures::executor::block_on(open(&elsewhere)).unwrap();
        drop(std::mem::replace(&mut self.runtime, idle));
    }

    pub(crate) async fn reopen(&mut self) {
        self.drop_runtime();
        self.runtime = open(&self.config).await.unwrap();
    }

    pub(crate) async fn sandbox(&self, name: &str) -> SandboxStatus {
        let config = SandboxConfig {
            pod: PodIdentity {
                namespace: "default".to_owned(),
                name: name.to_owned(),
                uid: format!("uid-{name}"),
            },
            attempt: 0,
            address: None,
            log_dir: self.dir.path().join("logs").join(name),
            labels: BTreeMap::new(),
        };
        self.runtime.run_sandbox(config).await.unwrap()
    }

    pub(crate) fn config(&self, command: Vec<String>) -> ContainerConfig {
        ContainerConfig {
            name: "main".to_owned(),
            attempt: 0,
            image: "host".to_owned(),
            command,
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            working_dir: Some(self.dir.path().to_owned()),
            run_as: None,
            resources: Resources::default(),
            rlimits: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// A started container in a sandbox of its own.
    pub(crate) async fn run(&self, name: &str, command: Vec<String>) -> ContainerStatus {
        let sandbox = self.sandbox(name).await;
        let created =
            self.runtime.create_container(&sandbox.id, self.config(command)).await.unwrap();
        self.runtime.start_container(&created.id).await.unwrap()
    }

    /// How an exited container ended.
    pub(crate) fn exit(&self, container: &ContainerStatus) -> Exit {
        match self.runtime.container_status(&container.id).unwrap().state {
            ContainerState::Exited(exit) => exit,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn exited(&self, container: &ContainerStatus) -> Exit {
        eventually("an exit", || {
            match self.runtime.container_status(&container.id).unwrap().state {
                ContainerState::Exited(exit) => Some(exit),
                _ => None,
            }
        })
        .await
    }

    pub(crate) fn log(&self, container: &ContainerStatus) -> String {
        fs::read_to_string(&container.log_path).unwrap_or_default()
    }
}

async fn open(config: &ProcessConfig) -> Result<ProcessRuntime, OpenRuntimeError> {
    ProcessRuntime::open(config.clone(), Arc::new(SystemClock::new())).await
}

impl Drop for Node {
    fn drop(&mut self) {
        for container in self.runtime.list() {
            for pid in container.root_pids {
                let root = i32::try_from(pid).unwrap();
                if is_alive(root) {
                    kill_shim_of(root);
                }
            }
        }
    }
}

impl Subject for Node {
    fn runtime(&self) -> Arc<dyn ContainerRuntime> {
        Arc::new(self.runtime.clone())
    }

    fn command(&self, act: Act) -> Vec<String> {
        match act {
            Act::Run => shell("echo ready; exec sleep 1000"),
            Act::IgnoreTerm => shell("trap '' TERM; echo ready; sleep 1000; sleep 1000"),
            Act::Exit(code) => shell(&format!("exit {code}")),
            Act::CannotStart => {
                let path = self.dir.path().join("no-interpreter");
                fs::write(&path, "#!/no/such/interpreter\n").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                vec![path.to_str().unwrap().to_owned()]
            }
        }
    }

    fn settled<'a>(&'a self, container: &'a ContainerStatus) -> BoxFuture<'a, ()> {
        async {
            eventually("ready", || self.log(container).contains("ready").then_some(())).await;
        }
        .boxed()
    }

    fn is_gone(&self, container: &ContainerStatus) -> bool {
        container.root_pids.iter().all(|pid| !is_alive(i32::try_from(*pid).unwrap()))
    }

    fn log_root(&self) -> PathBuf {
        self.dir.path().join("logs")
    }
}
