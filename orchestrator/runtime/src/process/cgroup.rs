//! Control groups, where this process may make them: version 2 when delegated, version 1 (also in hybrid
//! set-ups) when writable. Groups are made below the agent's own, under `swell/<container id>`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::types::{CgroupPaths, Resources};

/// The group that holds all of ours.
const GROUP: &str = "swell";
/// Where the agent itself moves when version 2 wants the group that is divided to hold no process.
const AGENT_LEAF: &str = "swell-agent";
/// Version 1 controllers that are used, each if it is there.
const V1_CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];
/// Version 2 controllers that are asked for.
const V2_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// Length of a CPU quota period, as the kubelet has it.
const CPU_PERIOD_US: u64 = 100_000;
/// The smallest quota the kernel takes.
const CPU_QUOTA_US_MIN: u64 = 1_000;

/// Where groups can be made, and what they can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CgroupRoots {
    unified: Option<PathBuf>,
    v1: BTreeMap<String, PathBuf>,
    /// Controllers that enforce something.
    controllers: Vec<String>,
    /// Why a controller is not used, a sentence part each.
    refused: Vec<String>,
}

/// The group directories of this process, by hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OwnGroups {
    unified: Option<PathBuf>,
    v1: BTreeMap<String, PathBuf>,
}

impl CgroupRoots {
    /// No groups at all.
    pub(crate) fn off(why: &str) -> Self {
        Self { refused: vec![why.to_owned()], ..Self::default() }
    }

    /// Finds this process's own groups and makes ours below them.
    pub(crate) fn discover() -> Self {
        let read =
            |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        match (read("/proc/self/mountinfo"), read("/proc/self/cgroup")) {
            (Ok(mounts), Ok(groups)) => Self::below(&own_groups(&mounts, &groups)),
            (Err(why), _) | (_, Err(why)) => Self::off(&why),
        }
    }

    fn below(own: &OwnGroups) -> Self {
        let mut roots = Self::default();
        for (controller, dir) in &own.v1 {
            let root = dir.join(GROUP);
            match make_own_dir(&root) {
                Ok(()) => {
                    roots.v1.insert(controller.clone(), root);
                    roots.controllers.push(controller.clone());
                }
                Err(error) => roots.refused.push(format!("{}: {error}", root.display())),
            }
        }
        if let Some(dir) = own.unified.as_ref().filter(|_| own.v1.is_empty()) {
            let root = dir.join(GROUP);
            match make_own_dir(&root) {
                Ok(()) => {
                    match enable(dir, &root) {
                        Ok(enabled) => roots.controllers = enabled,
                        Err(why) => roots.refused.push(why),
                    }
                    roots.unified = Some(root);
                }
                Err(error) => roots.refused.push(format!("{}: {error}", root.display())),
            }
        }
        if own.unified.is_none() && own.v1.is_empty() {
            roots.refused.push("no cgroup file system is mounted".to_owned());
        }
        roots
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|found| found == controller)
    }

    /// Which limits are not enforced, and why; `None` when all are.
    pub(crate) fn shortcomings(&self) -> Option<String> {
        let missing: Vec<&str> =
            V2_CONTROLLERS.into_iter().filter(|controller| !self.has(controller)).collect();
        if missing.is_empty() {
            return None;
        }
        let why = if self.refused.is_empty() {
            "controller not available".to_owned()
        } else {
            self.refused.join("; ")
        };
        Some(format!("limits on {} are not enforced ({why})", missing.join(", ")))
    }

    /// Makes the groups of one container and sets its limits; what was made is removed again on failure.
    pub(crate) fn create(&self, name: &str, resources: &Resources) -> io::Result<CgroupPaths> {
        let paths = CgroupPaths {
            unified: self.unified.as_ref().map(|root| root.join(name)),
            v1: self.v1.iter().map(|(key, root)| (key.clone(), root.join(name))).collect(),
        };
        let made = paths
            .directories()
            .try_for_each(|dir| make_dir(dir))
            .and_then(|()| self.limit(&paths, resources));
        match made {
            Ok(()) => Ok(paths),
            Err(error) => {
                remove(&paths)?;
                Err(error)
            }
        }
    }

    fn limit(&self, paths: &CgroupPaths, resources: &Resources) -> io::Result<()> {
        for (controller, dir) in &paths.v1 {
            write_all(dir, &settings(Version::V1, controller, resources))?;
        }
        if let Some(dir) = &paths.unified {
            for controller in &self.controllers {
                write_all(dir, &settings(Version::V2, controller, resources))?;
            }
        }
        Ok(())
    }
}

/// Which form of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Files and values that hold the limits of one controller.
fn settings(
    version: Version,
    controller: &str,
    resources: &Resources,
) -> Vec<(&'static str, String)> {
    let limit = |file, value: Option<u64>| -> Vec<(&'static str, String)> {
        value.map(|value| (file, value.to_string())).into_iter().collect()
    };
    match (controller, version) {
        ("cpu", _) => cpu_settings(version, resources),
        ("memory", Version::V1) => limit("memory.limit_in_bytes", resources.memory_limit_bytes),
        ("memory", Version::V2) => limit("memory.max", resources.memory_limit_bytes),
        ("pids", _) => limit("pids.max", resources.pids_limit),
        _ => Vec::new(),
    }
}

fn cpu_settings(version: Version, resources: &Resources) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some(shares) = resources.cpu_request_milli.map(shares) {
        settings.push(match version {
            Version::V1 => ("cpu.shares", shares.to_string()),
            // The kernel's own translation of shares, as runc and crun use it.
            Version::V2 => ("cpu.weight", (1 + (shares - 2) * 9999 / 262_142).to_string()),
        });
    }
    if let Some(quota) = resources.cpu_limit_milli.map(quota_us) {
        match version {
            Version::V1 => settings.extend([
                ("cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ]),
            Version::V2 => settings.push(("cpu.max", format!("{quota} {CPU_PERIOD_US}"))),
        }
    }
    settings
}

fn shares(milli: u64) -> u64 {
    (milli.saturating_mul(1024) / 1000).clamp(2, 262_144)
}

fn quota_us(milli: u64) -> u64 {
    (milli.saturating_mul(CPU_PERIOD_US) / 1000).max(CPU_QUOTA_US_MIN)
}

fn write_all(dir: &Path, settings: &[(&'static str, String)]) -> io::Result<()> {
    for (file, value) in settings {
        let path = dir.join(file);
        fs::write(&path, value).map_err(|error| {
            io::Error::new(error.kind(), format!("write {value:?} to {}: {error}", path.display()))
        })?;
    }
    Ok(())
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes a group, or takes one that is there if it is this user's: another user may have run Swell before.
fn make_own_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir)?;
    Ok(access(dir, Access::WRITE_OK)?)
}

/// Hands the controllers of `dir` down to `root` and from there to the groups in it; which ones arrived.
fn enable(dir: &Path, root: &Path) -> Result<Vec<String>, String> {
    let listed = dir.join("cgroup.controllers");
    let available =
        fs::read_to_string(&listed).map_err(|error| format!("{}: {error}", listed.display()))?;
    let wanted: Vec<&str> = V2_CONTROLLERS
        .into_iter()
        .filter(|wanted| available.split_ascii_whitespace().any(|found| found == *wanted))
        .collect();
    let control: String = wanted.iter().map(|controller| format!("+{controller} ")).collect();
    let set = |group: &Path| {
        let file = group.join("cgroup.subtree_control");
        fs::write(&file, control.trim_end()).map_err(|error| (file, error))
    };
    let busy = |error: &io::Error| error.kind() == io::ErrorKind::ResourceBusy;
    set(dir)
        .or_else(|(file, error)| {
            // A group that is divided may hold no process: move away if we are the only one.
            if busy(&error) && move_to_leaf(dir).map_err(|error| (file.clone(), error))? {
                set(dir)
            } else {
                Err((file, error))
            }
        })
        .and_then(|()| set(root))
        .map_err(|(file, error)| {
            let hint = if busy(&error) {
                "; start the agent in a group of its own, with systemd: Delegate=yes"
            } else {
                ""
            };
            format!("{}: {error}{hint}", file.display())
        })?;
    Ok(wanted.into_iter().map(str::to_owned).collect())
}

fn move_to_leaf(dir: &Path) -> io::Result<bool> {
    let own = std::process::id().to_string();
    let members = fs::read_to_string(dir.join("cgroup.procs"))?;
    if members.split_ascii_whitespace().any(|pid| pid != own) {
        return Ok(false);
    }
    let leaf = dir.join(AGENT_LEAF);
    make_dir(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), own)?;
    Ok(true)
}

/// Puts the calling process into the groups.
pub(crate) fn join(paths: &CgroupPaths) -> io::Result<()> {
    for dir in paths.directories() {
        fs::write(dir.join("cgroup.procs"), "0")?;
    }
    Ok(())
}

/// Kills all members at once where the kernel can (`cgroup.kill`, version 2 from Linux 5.14).
pub(crate) fn kill_members(paths: &CgroupPaths) -> io::Result<()> {
    let Some(file) = paths.unified.as_ref().map(|dir| dir.join("cgroup.kill")) else {
        return Ok(());
    };
    match fs::write(&file, "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the groups; absent ones are a success.
pub(crate) fn remove(paths: &CgroupPaths) -> io::Result<()> {
    for dir in paths.directories() {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// How many processes of the groups the kernel has killed for memory.
pub(crate) fn oom_kill_count(paths: &CgroupPaths) -> u64 {
    let v2 = paths.unified.as_ref().map(|dir| dir.join("memory.events"));
    let v1 = paths.v1.get("memory").map(|dir| dir.join("memory.oom_control"));
    v2.into_iter()
        .chain(v1)
        .filter_map(|file| fs::read_to_string(file).ok())
        .filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
        })
        .sum()
}

/// Where this process is in each hierarchy, as directories.
fn own_groups(mountinfo: &str, groups: &str) -> OwnGroups {
    let mounts: Vec<CgroupMount> = mountinfo.lines().filter_map(CgroupMount::parse).collect();
    let mut own = OwnGroups::default();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        if controllers.is_empty() {
            own.unified = mounts.iter().find(|mount| mount.v2).map(|mount| mount.directory(path));
            continue;
        }
        for controller in controllers.split(',').filter(|name| V1_CONTROLLERS.contains(name)) {
            let mount = mounts
                .iter()
                .find(|mount| !mount.v2 && mount.options.split(',').any(|opt| opt == controller));
            if let Some(mount) = mount {
                own.v1.insert(controller.to_owned(), mount.directory(path));
            }
        }
    }
    own
}

struct CgroupMount<'a> {
    root: &'a str,
    point: &'a str,
    v2: bool,
    options: &'a str,
}

impl<'a> CgroupMount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next()?;
        let options = filesystem.nth(1)?;
        let v2 = kind == "cgroup2";
        (v2 || kind == "cgroup").then_some(Self { root, point, v2, options })
    }

    /// The directory of group `path`. Inside a container the mount may show a part of the tree only.
    fn directory(&self, path: &str) -> PathBuf {
        let shown =
            if self.root == "/" { path } else { path.strip_prefix(self.root).unwrap_or("") };
        Path::new(self.point).join(shown.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 24 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
34 24 0:30 / /proc rw - proc proc rw";

    #[test]
    fn own_groups_are_found_in_hybrid_and_in_unified_set_ups() {
        let hybrid =
            own_groups(HYBRID_MOUNTS, "5:cpu,cpuacct:/\n4:memory:/vm/7\n1:name=systemd:/\n0::/\n");
        assert_eq!(hybrid.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(hybrid.v1["memory"], Path::new("/sys/fs/cgroup/memory/vm/7"));
        assert_eq!(hybrid.v1["cpu"], hybrid.v1["cpuacct"]);
        assert!(!hybrid.v1.contains_key("pids"));

        let unified = own_groups(
            "29 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate",
            "0::/user.slice/user-1000.slice/session-2.scope\n",
        );
        assert_eq!(
            unified.unified.unwrap(),
            Path::new("/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope")
        );
        assert!(unified.v1.is_empty());

        let docker = own_groups(
            "32 24 0:28 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            "4:memory:/docker/ab/inner\n",
        );
        assert_eq!(docker.v1["memory"], Path::new("/sys/fs/cgroup/memory/inner"));
    }

    #[test]
    fn limits_become_the_kernels_numbers() {
        let resources = Resources {
            cpu_request_milli: Some(250),
            cpu_limit_milli: Some(500),
            memory_limit_bytes: Some(64 << 20),
            pids_limit: Some(32),
        };
        assert_eq!(
            settings(Version::V1, "cpu", &resources),
            [
                ("cpu.shares", "256".to_owned()),
                ("cpu.cfs_period_us", "100000".to_owned()),
                ("cpu.cfs_quota_us", "50000".to_owned()),
            ]
        );
        // Shares 256 become weight 10: the figure measured with runc and crun.
        assert_eq!(
            settings(Version::V2, "cpu", &resources),
            [("cpu.weight", "10".to_owned()), ("cpu.max", "50000 100000".to_owned())]
        );
        assert_eq!(
            settings(Version::V2, "memory", &resources),
            [("memory.max", "67108864".to_owned())]
        );
        assert_eq!(settings(Version::V1, "pids", &resources), [("pids.max", "32".to_owned())]);
        assert_eq!(settings(Version::V1, "cpuacct", &resources), []);
        assert_eq!(quota_us(1), CPU_QUOTA_US_MIN);
    }

    #[test]
    fn a_delegated_unified_group_hands_its_controllers_down() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpuset cpu memory\n").unwrap();
        let own = OwnGroups { unified: Some(dir.path().to_owned()), ..OwnGroups::default() };
        let roots = CgroupRoots::below(&own);
        let control = dir.path().join(GROUP).join("cgroup.subtree_control");
        assert_eq!(fs::read_to_string(control).unwrap(), "+cpu +memory");
        let shortcomings = roots.shortcomings().unwrap();
        assert!(shortcomings.contains("pids") && !shortcomings.contains("cpu,"), "{shortcomings}");

        let resources = Resources { memory_limit_bytes: Some(1 << 20), ..Resources::default() };
        let paths = roots.create("uid_web_0", &resources).unwrap();
        let group = paths.unified.clone().unwrap();
        assert_eq!(fs::read_to_string(group.join("memory.max")).unwrap(), "1048576");
        fs::write(group.join("memory.events"), "low 0\noom 1\noom_kill 3\n").unwrap();
        assert_eq!(oom_kill_count(&paths), 3);
    }

    #[test]
    fn what_may_not_be_made_is_named() {
        let own = OwnGroups {
            v1: BTreeMap::from([("cpu".to_owned(), PathBuf::from("/proc/self"))]),
            unified: None,
        };
        let roots = CgroupRoots::below(&own);
        assert!(roots.v1.is_empty());
        assert!(roots.shortcomings().unwrap().contains("/proc/self/swell"));
        assert_eq!(roots.create("x", &Resources::default()).unwrap(), CgroupPaths::default());
    }
}
