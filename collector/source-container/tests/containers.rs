//! Containers of a made-up machine: process trees, both kinds of cgroups, pods with and without a
//! network of their own, and what happens when they come and go.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swell_model::{ByteCount, CpuMilli, METRIC_NAME, Pass, PassDelta, TimestampMs, is_stale_nan};
use swell_source_container::{
    CgroupPaths, CgroupV1Paths, Config, ContainerInfo, ContainerInventory, ContainerResources,
    ContainerSource,
};

/// An inventory that the test changes.
#[derive(Default)]
struct Listed(Mutex<Option<Arc<[ContainerInfo]>>>);

impl Listed {
    fn set(&self, containers: Vec<ContainerInfo>) {
        *self.0.lock().unwrap() = Some(containers.into());
    }
}

impl ContainerInventory for Listed {
    fn containers(&self) -> Arc<[ContainerInfo]> {
        self.0.lock().unwrap().clone().unwrap_or_default()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

struct Machine {
    dir: tempfile::TempDir,
    listed: Arc<Listed>,
    source: ContainerSource,
    pass: Pass,
    now: i64,
    live: BTreeMap<swell_model::SeriesNumber, swell_model::Labels>,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("stat"), "cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n");
        write(&dir.path().join("meminfo"), "MemTotal: 2048 kB\nSwapTotal: 1024 kB\n");
        std::fs::create_dir_all(dir.path().join("self/ns")).unwrap();
        symlink("net:[1]", dir.path().join("self/ns/net")).unwrap();
        let listed = Arc::new(Listed::default());
        let mut config = Config::machine("n1", "n1:10250");
        config.procfs = dir.path().to_owned();
        let source =
            ContainerSource::new(&config, listed.clone(), Arc::new(|| Duration::from_millis(5)));
        Self { dir, listed, source, pass: Pass::new(), now: 0, live: BTreeMap::new() }
    }

    /// A process with one task, its run time in ns and its children's in ticks.
    fn process(&self, pid: u32, parent: u32, run_ns: u64, children_ticks: u64) {
        let dir = self.dir.path().join(pid.to_string());
        let ticks = run_ns / 10_000_000;
        let stat = format!(
            "{pid} (p) S {parent} {pid} 1 0 -1 0 0 0 0 0 {ticks} 0 {children_ticks} 0 20 0 2 0 77 0 0\n"
        );
        write(&dir.join("stat"), &stat);
        write(&dir.join("statm"), "1000 30 10 1 0 5 0\n");
        write(&dir.join(format!("task/{pid}/schedstat")), &format!("{run_ns} 0 1\n"));
        std::fs::create_dir_all(dir.join("fd")).unwrap();
        for fd in 0..3 {
            write(&dir.join(format!("fd/{fd}")), "");
        }
    }

    /// A file held open is empty when its process is gone, as the kernel's is.
    fn end(&self, pid: u32) {
        write(&self.dir.path().join(format!("{pid}/stat")), "");
        std::fs::remove_dir_all(self.dir.path().join(pid.to_string())).unwrap();
    }

    fn tick(&mut self) -> PassDelta {
        self.now += 1000;
        self.source.collect(TimestampMs(self.now), &mut self.pass);
        let delta = self.pass.finish(TimestampMs(self.now));
        self.live.extend(delta.announced.iter().cloned());
        delta
    }

    /// Values of one tick by metric and the given labels; stale ones are left out.
    fn values(&mut self, labels: &[&str]) -> BTreeMap<String, f64> {
        let delta = self.tick();
        let mut values = BTreeMap::new();
        for (number, value) in delta.samples {
            let of = &self.live[&number];
            let shown: Vec<&str> = labels.iter().filter_map(|label| of.get(label)).collect();
            if !is_stale_nan(value) {
                let name = of.get(METRIC_NAME).unwrap();
                values.insert(format!("{name} {}", shown.join(" ")).trim().to_owned(), value);
            }
        }
        values
    }
}

fn container(pod: &str, root_pid: Option<u32>) -> ContainerInfo {
    ContainerInfo {
        namespace: "default".to_owned(),
        pod: pod.to_owned(),
        container: "web".to_owned(),
        id: format!("/process/default/{pod}/web"),
        name: format!("{pod}-web-0"),
        image: "host".to_owned(),
        root_pid,
        started_at: Some(TimestampMs(500)),
        ..ContainerInfo::default()
    }
}

#[test]
fn a_process_tree_becomes_a_container() {
    let mut machine = Machine::new();
    machine.process(100, 1, 1_500_000_001, 0);
    machine.process(101, 100, 250_000_000, 0);
    machine.process(999, 1, 9_000_000_000, 0);
    let mut info = container("a", Some(100));
    info.resources = ContainerResources {
        cpu_request: Some(CpuMilli(100)),
        cpu_limit: Some(CpuMilli(500)),
        memory_request: None,
        memory_limit: Some(ByteCount(1 << 20)),
    };
    machine.listed.set(vec![info]);
    let page = 4096.0;
    let expected: BTreeMap<String, f64> = [
        ("container_cpu_system_seconds_total a web", 0.0),
        ("container_cpu_usage_seconds_total a web", 1.750_000_001),
        ("container_cpu_user_seconds_total a web", 1.75),
        ("container_last_seen a web", 1.0),
        ("container_memory_mapped_file a web", 10.0 * page),
        ("container_memory_rss a web", 40.0 * page),
        ("container_memory_usage_bytes a web", 50.0 * page),
        ("container_memory_working_set_bytes a web", 50.0 * page),
        ("container_processes a web", 2.0),
        ("container_scrape_error", 0.0),
        ("container_spec_cpu_period a web", 100_000.0),
        ("container_spec_cpu_quota a web", 50_000.0),
        ("container_spec_cpu_shares a web", 102.0),
        ("container_spec_memory_limit_bytes a web", 1_048_576.0),
        ("container_spec_memory_reservation_limit_bytes a web", 0.0),
        ("container_start_time_seconds a web", 0.5),
        ("container_threads a web", 4.0),
        ("machine_cpu_cores", 2.0),
        ("machine_memory_bytes", 2_097_152.0),
        ("machine_swap_bytes", 1_048_576.0),
        ("scrape_duration_seconds", 0.0),
        ("scrape_samples_post_metric_relabeling", 21.0),
        ("scrape_samples_scraped", 21.0),
        ("scrape_series_added", 21.0),
        ("up", 1.0),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let mut values = machine.values(&["pod", "container"]);
    // the kernel gives a directory of open files their number as its size; an ordinary directory has another
    assert!(values.remove("container_file_descriptors a web").is_some());
    assert_eq!(values, expected);

    let labels = machine
        .live
        .values()
        .find(|labels| labels.metric_name() == Some("container_cpu_usage_seconds_total"));
    assert_eq!(
        labels.unwrap().to_string(),
        "container_cpu_usage_seconds_total{container=\"web\", cpu=\"total\", \
         id=\"/process/default/a/web\", image=\"host\", instance=\"n1:10250\", job=\"cadvisor\", \
         name=\"a-web-0\", namespace=\"default\", node=\"n1\", pod=\"a\"}"
    );
}

#[test]
fn the_time_of_ended_children_is_kept() {
    let mut machine = Machine::new();
    machine.process(100, 1, 1_000_000_000, 0);
    machine.process(101, 100, 500_000_000, 0);
    machine.listed.set(vec![container("a", Some(100))]);
    let usage = "container_cpu_usage_seconds_total a";
    assert_eq!(machine.values(&["pod"])[usage], 1.5);
    // the child ended after 520 ms, and the parent waited for it
    machine.end(101);
    machine.process(100, 1, 1_000_000_000, 52);
    assert_eq!(machine.values(&["pod"])[usage], 1.52);
    // one that nobody saw
    machine.process(100, 1, 1_100_000_000, 152);
    assert_eq!(machine.values(&["pod"])[usage], 2.62);
    // its id is taken by a stranger: not the container's any more
    machine.process(102, 100, 400_000_000, 0);
    assert_eq!(machine.values(&["pod"])[usage], 3.02);
    let stat = "102 (other) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99999 0 0\n";
    write(&machine.dir.path().join("102/stat"), stat);
    assert_eq!(machine.values(&["pod"])[usage], 3.02);
}

#[test]
fn containers_come_and_go() {
    let mut machine = Machine::new();
    machine.process(100, 1, 1_000, 0);
    machine.process(200, 1, 2_000, 0);
    let usage = |machine: &mut Machine| {
        let mut values = machine.values(&["pod", "name"]);
        values.retain(|name, _| name.starts_with("container_cpu_usage_seconds_total"));
        values.into_iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>()
    };
    assert!(usage(&mut machine).is_empty());
    machine.listed.set(vec![container("a", Some(100)), container("b", None)]);
    assert_eq!(usage(&mut machine), ["container_cpu_usage_seconds_total a a-web-0 0.000001"]);
    machine.listed.set(vec![container("a", Some(100)), container("b", Some(200))]);
    assert_eq!(usage(&mut machine).len(), 2);

    // a restart: another name, another root
    machine.end(100);
    machine.process(300, 1, 5_000, 0);
    let mut restarted = container("a", Some(300));
    restarted.name = "a-web-1".to_owned();
    machine.listed.set(vec![restarted, container("b", Some(200))]);
    assert_eq!(
        usage(&mut machine),
        [
            "container_cpu_usage_seconds_total a a-web-1 0.000005",
            "container_cpu_usage_seconds_total b b-web-0 0.000002"
        ]
    );
    // it exits, and is listed still: no series without a process
    machine.end(300);
    assert_eq!(usage(&mut machine).len(), 1);
    assert_eq!(machine.source.failures().count(), 0);
}

#[test]
fn cgroup_v2_is_read() {
    let mut machine = Machine::new();
    let dir = machine.dir.path().join("cgroup/pod-a/web");
    for (file, text) in [
        (
            "cpu.stat",
            "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250000\n",
        ),
        ("cpu.max", "50000 100000\n"),
        ("cpu.weight", "1\n"),
        ("memory.current", "5000\n"),
        (
            "memory.stat",
            "anon 3000\nfile 1500\nfile_mapped 700\ninactive_file 600\npgfault 9\npgmajfault 2\n",
        ),
        ("memory.max", "max\n"),
        ("memory.events", "low 0\nmax 3\noom 1\noom_kill 1\n"),
        ("memory.peak", "6000\n"),
        ("pids.current", "7\n"),
        ("cgroup.procs", "100\n101\n"),
        ("cpu.pressure", "some avg10=0.00 total=2000000\nfull avg10=0.00 total=1000000\n"),
    ] {
        write(&dir.join(file), text);
    }
    let mut info = container("a", Some(100));
    info.cgroup = Some(CgroupPaths::V2(dir.clone()));
    machine.listed.set(vec![info]);
    let values = machine.values(&["failure_type"]);
    for (name, value) in [
        ("container_cpu_usage_seconds_total", 1.5),
        ("container_cpu_user_seconds_total", 1.0),
        ("container_cpu_system_seconds_total", 0.5),
        ("container_cpu_cfs_periods_total", 10.0),
        ("container_cpu_cfs_throttled_periods_total", 4.0),
        ("container_cpu_cfs_throttled_seconds_total", 0.25),
        ("container_memory_usage_bytes", 5000.0),
        ("container_memory_working_set_bytes", 4400.0),
        ("container_memory_rss", 3000.0),
        ("container_memory_cache", 1500.0),
        ("container_memory_mapped_file", 700.0),
        ("container_memory_max_usage_bytes", 6000.0),
        ("container_memory_failcnt", 3.0),
        ("container_memory_failures_total pgfault", 9.0),
        ("container_memory_failures_total pgmajfault", 2.0),
        ("container_oom_events_total", 1.0),
        ("container_threads", 7.0),
        ("container_processes", 2.0),
        ("container_spec_cpu_quota", 50_000.0),
        ("container_spec_cpu_period", 100_000.0),
        ("container_spec_cpu_shares", 2.0),
        ("container_spec_memory_limit_bytes", 0.0),
        ("container_pressure_cpu_waiting_seconds_total", 2.0),
        ("container_pressure_cpu_stalled_seconds_total", 1.0),
    ] {
        assert_eq!(values.get(name), Some(&value), "{name}");
    }
    assert!(!values.contains_key("container_memory_swap"));

    // slow values are kept from tick to tick; a removed group ends all series without a failure
    assert!(machine.values(&[]).contains_key("container_spec_cpu_quota"));
    // a removed group; its files held open would still answer here, unlike the kernel's
    let mut gone = container("a", Some(100));
    gone.cgroup = Some(CgroupPaths::V2(dir.join("gone")));
    machine.listed.set(vec![gone]);
    assert!(!machine.values(&[]).contains_key("container_cpu_usage_seconds_total"));
    assert_eq!(machine.source.failures().count(), 0);
}

#[test]
fn cgroup_v1_is_read_in_nanoseconds() {
    let mut machine = Machine::new();
    let root = machine.dir.path().join("cgroup");
    for (file, text) in [
        ("cpuacct/cpuacct.usage", "1500000001\n"),
        ("cpuacct/cpuacct.stat", "user 100\nsystem 50\n"),
        ("cpuacct/cgroup.procs", "100\n"),
        ("cpu/cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n"),
        ("cpu/cpu.cfs_quota_us", "-1\n"),
        ("cpu/cpu.shares", "102\n"),
        ("memory/memory.usage_in_bytes", "5000\n"),
        (
            "memory/memory.stat",
            "cache 1\ntotal_cache 1500\ntotal_rss 3000\ntotal_inactive_file 600\n",
        ),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory/memory.memsw.usage_in_bytes", "5500\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
    ] {
        write(&root.join(file), text);
    }
    let mut info = container("a", None);
    info.cgroup = Some(CgroupPaths::V1(CgroupV1Paths {
        cpuacct: root.join("cpuacct"),
        cpu: Some(root.join("cpu")),
        memory: Some(root.join("memory")),
        pids: None,
    }));
    machine.listed.set(vec![info]);
    let values = machine.values(&[]);
    for (name, value) in [
        ("container_cpu_usage_seconds_total", 1.500_000_001),
        ("container_cpu_user_seconds_total", 1.0),
        ("container_cpu_system_seconds_total", 0.5),
        ("container_memory_working_set_bytes", 4400.0),
        ("container_memory_rss", 3000.0),
        ("container_memory_cache", 1500.0),
        ("container_memory_swap", 500.0),
        ("container_oom_events_total", 2.0),
        ("container_spec_cpu_shares", 102.0),
        ("container_spec_memory_limit_bytes", 0.0),
    ] {
        assert_eq!(values.get(name), Some(&value), "{name}");
    }
    for absent in
        ["container_cpu_cfs_periods_total", "container_spec_cpu_quota", "container_threads"]
    {
        assert!(!values.contains_key(absent), "{absent}");
    }
}

#[test]
fn only_pods_with_their_own_network_have_network_series() {
    let mut machine = Machine::new();
    for (pid, namespace) in [(100, "net:[1]"), (200, "net:[2]")] {
        machine.process(pid, 1, 1_000, 0);
        let dir = machine.dir.path().join(pid.to_string());
        std::fs::create_dir_all(dir.join("ns")).unwrap();
        symlink(namespace, dir.join("ns/net")).unwrap();
        write(
            &dir.join("net/dev"),
            "Inter-|   Receive\n face |bytes\n    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n  eth0: 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25\n",
        );
    }
    let mut second = container("b", Some(200));
    second.container = "sidecar".to_owned();
    second.name = "b-sidecar-0".to_owned();
    machine.listed.set(vec![container("a", Some(100)), container("b", Some(200)), second]);
    let values = machine.values(&["pod", "container", "interface", "id"]);
    let network: Vec<String> = values
        .iter()
        .filter(|(name, _)| name.starts_with("container_network_"))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let of = "b eth0 /process/default/b";
    assert_eq!(
        network,
        [
            format!("container_network_receive_bytes_total {of} 10"),
            format!("container_network_receive_errors_total {of} 12"),
            format!("container_network_receive_packets_dropped_total {of} 13"),
            format!("container_network_receive_packets_total {of} 11"),
            format!("container_network_transmit_bytes_total {of} 18"),
            format!("container_network_transmit_errors_total {of} 20"),
            format!("container_network_transmit_packets_dropped_total {of} 21"),
            format!("container_network_transmit_packets_total {of} 19"),
        ]
    );
}

#[test]
fn an_unreadable_process_list_is_told() {
    let mut machine = Machine::new();
    machine.listed.set(vec![container("a", Some(100))]);
    std::fs::remove_dir_all(machine.dir.path()).unwrap();
    machine.tick();
    let failures: Vec<&str> = machine.source.failures().map(|(subject, _)| subject).collect();
    assert_eq!(failures, ["process list", "machine"]);
}
