//! The node agent's containers, as the collector wants them.

use std::sync::{Arc, Mutex, PoisonError};

use swell_model::{ByteCount, CpuMilli};
use swell_node_agent::{ContainerEntry, Inventory};
use swell_runtime::CgroupPaths as RuntimeCgroups;
use swell_source_container::{
    CgroupPaths, CgroupV1Paths, ContainerInfo, ContainerInventory, ContainerResources,
};

/// Translates the inventory, once for each of its states.
pub(crate) struct Containers {
    inventory: Inventory,
    last: Mutex<Translated>,
}

/// A state of the inventory and what it was translated to.
struct Translated {
    entries: Arc<Vec<ContainerEntry>>,
    infos: Arc<[ContainerInfo]>,
}

impl Containers {
    pub(crate) fn new(inventory: Inventory) -> Self {
        let entries = inventory.load();
        let infos = entries.iter().map(info).collect();
        Self { inventory, last: Mutex::new(Translated { entries, infos }) }
    }
}

impl ContainerInventory for Containers {
    fn containers(&self) -> Arc<[ContainerInfo]> {
        let entries = self.inventory.load();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&last.entries, &entries) {
            let infos = entries.iter().map(info).collect();
            *last = Translated { entries, infos };
        }
        last.infos.clone()
    }
}

fn info(entry: &ContainerEntry) -> ContainerInfo {
    ContainerInfo {
        namespace: entry.namespace.clone(),
        pod: entry.pod.clone(),
        container: entry.container.clone(),
        id: format!("/swell/{}/{}", entry.pod_uid, entry.container),
        name: entry.id.clone(),
        image: entry.image.clone(),
        root_pid: entry.root_pid,
        cgroup: cgroups(&entry.cgroups),
        started_at: Some(entry.started_at),
        resources: ContainerResources {
            cpu_limit: entry
                .cpu_limit_milli
                .map(|milli| CpuMilli(i64::try_from(milli).unwrap_or(i64::MAX))),
            memory_limit: entry.memory_limit_bytes.map(ByteCount),
            ..ContainerResources::default()
        },
    }
}

fn cgroups(paths: &RuntimeCgroups) -> Option<CgroupPaths> {
    if let Some(unified) = &paths.unified {
        return Some(CgroupPaths::V2(unified.clone()));
    }
    let of = |controller: &str| paths.v1.get(controller).cloned();
    Some(CgroupPaths::V1(CgroupV1Paths {
        cpuacct: of("cpuacct")?,
        cpu: of("cpu"),
        memory: of("memory"),
        pids: of("pids"),
    }))
}
