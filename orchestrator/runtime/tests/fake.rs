//! The simulated backend keeps the contract.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use swell_env::SystemClock;
use swell_runtime::contract::{Act, Subject, check};
use swell_runtime::{
    ContainerRuntime, ContainerState, ContainerStatus, FakeConfig, FakeRuntime, RuntimeError,
};

struct Simulated(FakeRuntime);

impl Subject for Simulated {
    fn runtime(&self) -> Arc<dyn ContainerRuntime> {
        Arc::new(self.0.clone())
    }

    fn command(&self, act: Act) -> Vec<String> {
        let text = match act {
            Act::Run => "sleep infinity".to_owned(),
            Act::IgnoreTerm => "ignore-term".to_owned(),
            Act::Exit(code) => format!("exit {code}"),
            Act::CannotStart => "cannot-start".to_owned(),
        };
        text.split(' ').map(str::to_owned).collect()
    }

    fn settled<'a>(&'a self, _: &'a ContainerStatus) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }

    fn is_gone(&self, container: &ContainerStatus) -> bool {
        match self.0.container_status(&container.id) {
            Ok(status) => matches!(status.state, ContainerState::Exited(_)),
            Err(RuntimeError::NotFound { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    }

    fn log_root(&self) -> PathBuf {
        PathBuf::from("/nowhere")
    }
}

#[tokio::test]
async fn simulated_containers_keep_the_contract() {
    let config = FakeConfig {
        start_delay: Duration::from_millis(20),
        stop_delay: Duration::from_millis(30),
    };
    check(&Simulated(FakeRuntime::new(config, Arc::new(SystemClock::new())))).await;
}
