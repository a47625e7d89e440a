//! A host: what its exporter says of the machine, and its kubelet of the containers on it.

use swell_model::{Labels, LabelsBuilder};

use crate::numbers::Numbers;
use crate::pod::{CLUSTER, Pod, hundredths, nanoseconds};
use crate::{Moment, labelled};

const CPU_COUNT: usize = 4;
/// Modes of a CPU, with the share of what is not idle that each takes; idle is the rest.
const MODES: [(&str, f64); 8] = [
    ("idle", 0.0),
    ("iowait", 0.02),
    ("irq", 0.0),
    ("nice", 0.0),
    ("softirq", 0.03),
    ("steal", 0.01),
    ("system", 0.24),
    ("user", 0.7),
];
const DEVICES: [&str; 2] = ["eth0", "lo"];
const MOUNTS: [&str; 3] = ["/", "/boot", "/var/lib"];
const PAGE: f64 = 4096.0;
const MEMORY_PAGES: f64 = 8_388_608.0;

/// Counters of a host.
#[derive(Debug)]
pub(crate) struct Host {
    labels: Vec<Labels>,
    load: f64,
    cpu_seconds: [[f64; MODES.len()]; CPU_COUNT],
    free_pages: f64,
    cached_pages: f64,
    devices: [[f64; 4]; DEVICES.len()],
    disk: [f64; 4],
    averages: [f64; 3],
    used_blocks: [f64; MOUNTS.len()],
    containers: Vec<Container>,
}

#[derive(Debug)]
struct Container {
    /// Of one CPU.
    load: f64,
    cpu_seconds: f64,
    user_seconds: f64,
    set_pages: f64,
    received: f64,
    sent: f64,
    packets_in: f64,
    packets_out: f64,
    written: f64,
    throttled: f64,
}

impl Host {
    pub(crate) fn new(name: &str, pods: &[Pod], numbers: &mut Numbers) -> Self {
        let containers = pods
            .iter()
            .map(|pod| Container {
                load: 0.0025 * pod.requests_per_second() + 0.002,
                cpu_seconds: 0.0,
                user_seconds: 0.0,
                set_pages: f64::from(20_000 + numbers.below(60_000)),
                received: 0.0,
                sent: 0.0,
                packets_in: 0.0,
                packets_out: 0.0,
                written: 0.0,
                throttled: 0.0,
            })
            .collect();
        Self {
            labels: labels_of(name, pods),
            load: 0.2 + 0.5 * numbers.unit(),
            cpu_seconds: [[0.0; MODES.len()]; CPU_COUNT],
            free_pages: f64::from(1_000_000 + numbers.below(2_000_000)),
            cached_pages: f64::from(1_000_000 + numbers.below(1_000_000)),
            devices: [[0.0; 4]; DEVICES.len()],
            disk: [0.0; 4],
            averages: [1.0; 3],
            used_blocks: [5e6, 1e5, 2e7],
            containers,
        }
    }

    pub(crate) fn labels(&self) -> Vec<Labels> {
        self.labels.clone()
    }

    pub(crate) fn step(&mut self, moment: Moment, numbers: &mut Numbers, out: &mut Vec<f64>) {
        let busy = (self.load * moment.tide() * (1.0 + 0.1 * numbers.normal())).clamp(0.02, 0.98);
        self.step_cpus(busy, moment, numbers, out);
        self.step_memory(numbers, out);
        self.step_devices(busy, moment, numbers, out);
        for (average, minutes) in self.averages.iter_mut().zip([1.0, 5.0, 15.0]) {
            let decay = (-moment.seconds / (60.0 * minutes)).exp();
            *average =
                *average * decay + busy * 4.0 * (1.0 - decay) * (1.0 + 0.1 * numbers.normal());
            out.push(hundredths(*average));
        }
        for (used, rate) in self.used_blocks.iter_mut().zip([40.0, 0.0, 300.0]) {
            *used += numbers.events(rate);
            out.push((6e7 - *used) * PAGE);
        }
        // What a machine is does not change.
        out.extend([1.780_272e9, 4.0, 1.0, 1.0, 1_048_576.0]);
        for container in &mut self.containers {
            container.step(moment, numbers, out);
        }
    }

    fn step_cpus(&mut self, busy: f64, moment: Moment, numbers: &mut Numbers, out: &mut Vec<f64>) {
        for cpu in &mut self.cpu_seconds {
            let busy = (busy * (1.0 + 0.1 * numbers.normal())).clamp(0.0, 1.0) * moment.seconds;
            let mut rest = moment.seconds;
            for (seconds, (_, share)) in cpu.iter_mut().zip(MODES).skip(1) {
                let spent = (busy * share * (1.0 + 0.2 * numbers.normal())).clamp(0.0, rest);
                *seconds += spent;
                rest -= spent;
            }
            cpu[0] += rest;
            out.extend(cpu.iter().copied().map(hundredths));
        }
    }

    fn step_memory(&mut self, numbers: &mut Numbers, out: &mut Vec<f64>) {
        let mut wander = |pages: &mut f64, by: f64| {
            *pages = (*pages + (by * numbers.normal()).round()).clamp(100_000.0, 4_000_000.0);
        };
        wander(&mut self.free_pages, 800.0);
        wander(&mut self.cached_pages, 200.0);
        let (free, cached) = (self.free_pages, self.cached_pages);
        out.extend(
            [MEMORY_PAGES, free, cached, free + cached - 20_000.0, 40_000.0, 524_288.0, 524_288.0]
                .map(|pages| pages * PAGE),
        );
    }

    fn step_devices(
        &mut self,
        busy: f64,
        moment: Moment,
        numbers: &mut Numbers,
        out: &mut Vec<f64>,
    ) {
        for (nr, device) in self.devices.iter_mut().enumerate() {
            let packets = if nr == 0 { 6000.0 } else { 100.0 } * busy * moment.seconds;
            for pair in device.chunks_exact_mut(2) {
                let count = numbers.events(packets);
                pair[0] += count;
                pair[1] +=
                    (count * 420.0 + 90.0 * count.sqrt() * numbers.normal()).round().max(0.0);
            }
            out.extend(*device);
        }
        let writes = numbers.events(40.0 * busy * moment.seconds);
        let reads = numbers.events(1.5 * busy * moment.seconds);
        let sectors =
            |operations: f64, numbers: &mut Numbers| operations + numbers.events(operations);
        self.disk[0] += reads;
        self.disk[1] += sectors(reads, numbers) * PAGE;
        self.disk[2] += writes;
        self.disk[3] += sectors(writes, numbers) * PAGE;
        out.extend(self.disk);
    }
}

impl Container {
    fn step(&mut self, moment: Moment, numbers: &mut Numbers, out: &mut Vec<f64>) {
        let load = self.load * moment.tide() * (1.0 + 0.1 * numbers.normal());
        let spent = (load * moment.seconds).max(0.0);
        self.cpu_seconds += spent;
        self.user_seconds += spent * (0.7 + 0.1 * numbers.unit());
        self.set_pages = (self.set_pages + (10.0 * numbers.normal()).round()).max(1000.0);
        let packets = numbers.events(2000.0 * load.max(0.0) * moment.seconds);
        self.received += packets * 300.0 + numbers.events(packets * 30.0);
        let answers = numbers.events(packets * 0.8);
        self.sent += answers * 900.0 + numbers.events(answers * 90.0);
        self.packets_in += packets;
        self.packets_out += answers;
        self.written += numbers.events(0.5 * moment.seconds) * PAGE;
        self.throttled += numbers.events((load - 0.3).max(0.0) * 2.0 * moment.seconds);
        out.extend([
            nanoseconds(self.cpu_seconds),
            nanoseconds(self.user_seconds),
            nanoseconds(self.cpu_seconds - self.user_seconds),
            self.set_pages * PAGE,
            (self.set_pages * 1.1).round() * PAGE + self.written % 8_388_608.0,
            (self.set_pages * 0.8).round() * PAGE,
            self.received,
            self.sent,
            self.packets_in,
            self.packets_out,
            self.written,
            self.throttled,
            1.0,
            2.0,
            536_870_912.0,
        ]);
    }
}

fn labels_of(name: &str, pods: &[Pod]) -> Vec<Labels> {
    let mut base = LabelsBuilder::default();
    base.set("cluster", CLUSTER)
        .set("job", "node")
        .set("instance", &format!("{name}:9100"))
        .set("node", name);
    let own = |name: &str, more: &[(&str, &str)]| labelled(&base, name, more);
    let mut out = Vec::new();
    for cpu in 0..CPU_COUNT {
        for (mode, _) in MODES {
            out.push(own("node_cpu_seconds_total", &[("cpu", &cpu.to_string()), ("mode", mode)]));
        }
    }
    for part in
        ["MemTotal", "MemFree", "Cached", "MemAvailable", "Buffers", "SwapTotal", "SwapFree"]
    {
        out.push(own(&format!("node_memory_{part}_bytes"), &[]));
    }
    for device in DEVICES {
        for way in ["receive", "transmit"] {
            for what in ["packets", "bytes"] {
                out.push(own(&format!("node_network_{way}_{what}_total"), &[("device", device)]));
            }
        }
    }
    for what in ["reads_completed", "read_bytes", "writes_completed", "written_bytes"] {
        out.push(own(&format!("node_disk_{what}_total"), &[("device", "sda")]));
    }
    for minutes in [1, 5, 15] {
        out.push(own(&format!("node_load{minutes}"), &[]));
    }
    for mount in MOUNTS {
        out.push(own("node_filesystem_avail_bytes", &[("mountpoint", mount), ("fstype", "ext4")]));
    }
    for name in [
        "node_boot_time_seconds",
        "node_cpu_count",
        "node_scrape_success",
        "up",
        "node_filefd_maximum",
    ] {
        out.push(own(name, &[]));
    }
    pods.iter().for_each(|pod| out.extend(pod.container_labels()));
    out
}
