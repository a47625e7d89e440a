//! All containers of a node, tick by tick.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use swell_model::{Pass, PassSeries, TimestampMs};
use swell_source::{JobLabels, ReadError, Scratch, Stopwatch, VirtualJob};

use crate::config::Config;
use crate::container::{Container, ContainerTick, Units};
use crate::inventory::{ContainerInfo, ContainerInventory};
use crate::machine::Machine;
use crate::network::PodNetwork;
use crate::process::ProcessTree;

/// Files that may stay open between ticks, well below the usual limit of 1024 a process; with more
/// containers than these are enough for, files are opened in each tick.
const HELD_FILES_MAX: usize = 512;

/// Reads the containers of one node. Owned by one task.
pub struct ContainerSource {
    procfs: PathBuf,
    labels: JobLabels,
    job: VirtualJob,
    stopwatch: Stopwatch,
    inventory: Arc<dyn ContainerInventory>,
    known: Option<Arc<[ContainerInfo]>>,
    containers: BTreeMap<u64, Container>,
    next_container: u64,
    networks: Vec<PodNetwork>,
    tree: ProcessTree,
    machine: Machine,
    scrape_error: PassSeries,
    scratch: Scratch,
    units: Units,
    tick_number: u64,
    failures: Vec<(String, ReadError)>,
}

impl ContainerSource {
    /// A source that has read nothing yet.
    #[must_use]
    pub fn new(
        config: &Config,
        inventory: Arc<dyn ContainerInventory>,
        stopwatch: Stopwatch,
    ) -> Self {
        let extra = config.extra_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let extra = extra.chain([("node", config.node.as_str())]);
        let labels = JobLabels::new(&config.job, &config.instance, extra);
        Self {
            procfs: config.procfs.clone(),
            job: VirtualJob::new(&labels),
            machine: Machine::new(&config.procfs, &labels),
            scrape_error: labels.series("container_scrape_error", []),
            labels,
            stopwatch,
            inventory,
            known: None,
            containers: BTreeMap::new(),
            next_container: 0,
            networks: Vec::new(),
            tree: ProcessTree::new(config.procfs.clone()),
            scratch: Scratch::default(),
            units: Units {
                page_bytes: rustix::param::page_size() as u64,
                ticks_per_second: rustix::param::clock_ticks_per_second(),
            },
            tick_number: 0,
            failures: Vec::new(),
        }
    }

    /// Records one tick into the pass. A container's first sample comes with the first tick after the
    /// inventory lists it; one whose processes are gone is no longer recorded.
    pub fn collect(&mut self, now: TimestampMs, pass: &mut Pass) {
        self.job.begin(pass);
        let began = (self.stopwatch)();
        self.failures.clear();
        self.tick_number += 1;
        self.follow_inventory();
        self.find_processes();
        self.collect_containers(now, pass);
        for network in &mut self.networks {
            if let Err(error) = network.collect(pass, &mut self.scratch, &self.labels) {
                self.failures.push(("pod network".to_owned(), error));
            }
        }
        if let Err(error) = self.machine.collect(self.tick_number, pass, &mut self.scratch) {
            self.failures.push(("machine".to_owned(), error));
        }
        self.scrape_error.record(pass, if self.failures.is_empty() { 0.0 } else { 1.0 });
        self.job.end(pass, (self.stopwatch)().saturating_sub(began));
    }

    /// What could not be read in the last tick, by container, with the reason: for the owner to log when
    /// it changes.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &ReadError)> {
        self.failures.iter().map(|(subject, error)| (subject.as_str(), error))
    }

    fn follow_inventory(&mut self) {
        let listed = self.inventory.containers();
        if self.known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &listed)) {
            return;
        }
        let mut by_name: HashMap<&str, &ContainerInfo> =
            listed.iter().map(|info| (info.name.as_str(), info)).collect();
        self.containers.retain(|_, container| {
            let name = container.info().name.clone();
            by_name.remove(name.as_str()).map(|info| container.update(info)).is_some()
        });
        for info in listed.iter().filter(|info| by_name.contains_key(info.name.as_str())) {
            self.containers.insert(self.next_container, Container::new(info));
            self.next_container += 1;
        }
        let containers = &self.containers;
        self.tree.containers_changed(|owner| containers.contains_key(&owner));
        self.follow_networks(&listed);
        self.known = Some(listed);
    }

    /// One network for each pod, read through the first of its containers that has a process.
    fn follow_networks(&mut self, listed: &[ContainerInfo]) {
        let mut first_of_pod: BTreeMap<(&str, &str), &ContainerInfo> = BTreeMap::new();
        for info in listed.iter().filter(|info| info.root_pid.is_some()) {
            first_of_pod.entry((&info.namespace, &info.pod)).or_insert(info);
        }
        self.networks.retain(|network| first_of_pod.values().any(|info| network.is_of(info)));
        for info in first_of_pod.values() {
            if !self.networks.iter().any(|network| network.is_of(info)) {
                self.networks.extend(PodNetwork::of(info, &self.procfs));
            }
        }
    }

    fn find_processes(&mut self) {
        let roots: Vec<(u32, u64)> = self
            .containers
            .iter()
            .filter_map(|(owner, container)| Some((container.tree_root()?, *owner)))
            .collect();
        if roots.is_empty() {
            return;
        }
        let (containers, procfs) = (&mut self.containers, &self.procfs);
        let scanned = self.tree.scan(&roots, &mut self.scratch, |owner, pid| {
            if let Some(container) = containers.get_mut(&owner) {
                container.add_process(pid, procfs);
            }
        });
        if let Err(error) = scanned {
            self.failures.push(("process list".to_owned(), error));
        }
    }

    fn collect_containers(&mut self, now: TimestampMs, pass: &mut Pass) {
        let file_count: usize = self.containers.values().map(Container::file_count).sum();
        let mut tick = ContainerTick {
            now,
            number: self.tick_number,
            pass,
            scratch: &mut self.scratch,
            labels: &self.labels,
            procfs: &self.procfs,
            hold_open: file_count <= HELD_FILES_MAX,
            units: self.units,
        };
        for container in self.containers.values_mut() {
            if let Err(error) = container.collect(&mut tick) {
                let info = container.info();
                let subject = format!("{}/{}/{}", info.namespace, info.pod, info.container);
                self.failures.push((subject, error));
            }
        }
    }
}

impl fmt::Debug for ContainerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerSource")
            .field("containers", &self.containers.len())
            .field("tick_number", &self.tick_number)
            .finish_non_exhaustive()
    }
}
