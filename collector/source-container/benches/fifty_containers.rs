//! CPU time of one tick over 50 containers of two processes each, measured by the process tree.
//!
//! `cargo bench -p swell-source-container --bench fifty_containers`

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use swell_model::{Pass, TimestampMs};
use swell_source_container::{Config, ContainerInfo, ContainerInventory, ContainerSource};

const CONTAINERS: usize = 50;
const TICKS: i64 = 300;

struct Fixed(Arc<[ContainerInfo]>);

impl ContainerInventory for Fixed {
    fn containers(&self) -> Arc<[ContainerInfo]> {
        self.0.clone()
    }
}

fn clock(id: ClockId) -> Duration {
    Duration::from(clock_gettime(id).expect("Linux has this clock"))
}

fn main() {
    let mut roots: Vec<Child> = (0..CONTAINERS)
        .map(|_| {
            // a root that waits for a child: when its input ends, both end
            Command::new("sh")
                .args(["-c", "cat; true"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("a shell is there")
        })
        .collect();
    let containers = roots
        .iter()
        .enumerate()
        .map(|(idx, root)| ContainerInfo {
            namespace: "default".to_owned(),
            pod: format!("web-{idx}"),
            container: "web".to_owned(),
            id: format!("/process/default/web-{idx}/web"),
            name: format!("web-{idx}-0"),
            image: "host".to_owned(),
            root_pid: Some(root.id()),
            ..ContainerInfo::default()
        })
        .collect();
    let config = Config::machine("bench", "bench:10250");
    let stopwatch = Arc::new(|| clock(ClockId::CLOCK_MONOTONIC));
    let mut source = ContainerSource::new(&config, Arc::new(Fixed(containers)), stopwatch);
    let mut pass = Pass::new();
    let mut samples = 0;
    let mut tick = |number: i64| {
        source.collect(TimestampMs(number * 1000), &mut pass);
        samples = pass.finish(TimestampMs(number * 1000)).samples.len();
    };
    (0..10).for_each(&mut tick);
    let before = clock(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    (10..10 + TICKS).for_each(&mut tick);
    let spent = clock(ClockId::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(before);
    let per_tick_us = spent.as_secs_f64() * 1e6 / TICKS as f64;
    println!(
        "{CONTAINERS} containers, {samples} samples: {per_tick_us:.0} us of CPU a tick, {:.3} % of a core at 1 s",
        per_tick_us / 1e4
    );
    for root in &mut roots {
        drop(root.stdin.take());
        root.wait().expect("it is ours");
    }
}
