//! How long it takes from a change of `spec.replicas` until the last new pod is bound, and what idling costs, in one
//! process over a store on disk: `cargo run --release -p swell-controllers --example scale_latency -- [ROUNDS] [PODS] [memory]`. With `memory`
//! the store writes nothing to disk.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use swell_client::{Client, ListParams};
use swell_controllers::Caches;
use swell_lab::Lab;
use swell_store::EmbeddedStore;

type Failure = Box<dyn std::error::Error>;

const NAMESPACE: Option<&str> = Some("default");

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(20), |text| text.parse())?;
    let pods: i32 = args.next().map_or(Ok(5), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let store_config = swell_store::Config::default();
    let store = if args.next().as_deref() == Some("memory") {
        EmbeddedStore::in_memory(store_config)?
    } else {
        EmbeddedStore::open(&dir.path().join("objects"), store_config)?
    };
    let lab = Lab::over(store).await?;
    lab.add_node("n1", 64, Duration::ZERO);
    let (client, caches, clock) = (&lab.client, &lab.caches, &lab.clock);
    let deployment = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "a"}]}}},
    });
    client.create(&serde_json::from_value::<Deployment>(deployment)?).await?;
    let mut changed = caches.pods.changed();
    let mut all_ms = Vec::new();
    for _ in 0..rounds {
        resize(client, 1).await?;
        wait_until(&mut changed, || caches.pods.list().len() == 1).await?;
        let start = clock.monotonic();
        resize(client, 1 + pods).await?;
        let wanted = usize::try_from(1 + pods)?;
        wait_until(&mut changed, || bound(caches) == wanted).await?;
        all_ms.push(clock.monotonic().since(start).as_secs_f64() * 1000.0);
    }
    all_ms.sort_by(f64::total_cmp);
    let at = |percent: usize| all_ms[(all_ms.len() - 1) * percent / 100];
    println!(
        "{pods} pods bound after the size was written, {rounds} rounds: p50 {:.1} ms, p95 {:.1} ms, max {:.1} ms",
        at(50),
        at(95),
        at(100)
    );
    let left = client.list::<Pod>(NAMESPACE, &ListParams::default()).await?.items.len();
    assert_eq!(left, usize::try_from(1 + pods)?, "no pod was created twice");
    tokio::time::sleep(SETTLE).await;
    let before_ticks = cpu_ticks()?;
    tokio::time::sleep(IDLE).await;
    let spent_ms = (cpu_ticks()? - before_ticks) * 10;
    println!("idle with {left} pods: {spent_ms} ms of CPU in {} s", IDLE.as_secs());
    Ok(())
}

/// Time for events and statuses to be written before idleness is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// Time over which idleness is measured.
const IDLE: Duration = Duration::from_secs(10);

/// CPU time of this process in hundredths of a second.
fn cpu_ticks() -> Result<u64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("/proc/self/stat has no name")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |idx: usize| fields.get(idx).ok_or("/proc/self/stat is short");
    Ok(field(11)?.parse::<u64>()? + field(12)?.parse::<u64>()?)
}

async fn resize(client: &Client, replicas: i32) -> Result<(), Failure> {
    client.set_scale::<Deployment>("default", "web", replicas).await?;
    Ok(())
}

fn bound(caches: &Caches) -> usize {
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    caches.pods.list().iter().filter(|pod| node(pod).is_some()).count()
}

async fn wait_until(
    changed: &mut tokio::sync::watch::Receiver<u64>,
    mut condition: impl FnMut() -> bool,
) -> Result<(), Failure> {
    while !condition() {
        tokio::time::timeout(Duration::from_secs(10), changed.changed()).await??;
    }
    Ok(())
}
