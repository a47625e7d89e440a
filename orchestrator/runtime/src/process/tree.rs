//! All descendants of a process, however they were forked.

use std::collections::BTreeMap;
use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::identity::{is_gone, parse_stat};

/// The living descendants of `ancestor`, parents before children; `ancestor` itself is not among them.
///
/// The ancestor is a subreaper, so that no descendant can leave: an orphan becomes its child. Read from
/// `/proc/<pid>/stat` since `/proc/<pid>/task/<tid>/children` is not in every kernel.
pub(crate) fn descendants(ancestor: i32) -> io::Result<Vec<i32>> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        match std::fs::read(format!("/proc/{pid}/stat")) {
            Ok(stat) => {
                if let Some(stat) = parse_stat(&stat).filter(|stat| stat.state != b'Z') {
                    children.entry(stat.parent).or_default().push(pid);
                }
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(below(ancestor, &children))
}

/// The processes of a container: its roots and all their living descendants.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn process_tree(roots: &[u32]) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for root in roots {
        found.push(*root);
        let root = i32::try_from(*root).map_err(io::Error::other)?;
        found.extend(descendants(root)?.into_iter().filter_map(|pid| u32::try_from(pid).ok()));
    }
    Ok(found)
}

/// The tree below `ancestor`, breadth first. A pid seen twice (used again during the scan) is walked once.
fn below(ancestor: i32, children: &BTreeMap<i32, Vec<i32>>) -> Vec<i32> {
    let mut found: Vec<i32> = children.get(&ancestor).cloned().unwrap_or_default();
    let mut next_idx = 0;
    while let Some(pid) = found.get(next_idx).copied() {
        next_idx += 1;
        for child in children.get(&pid).into_iter().flatten() {
            if *child != ancestor && !found.contains(child) {
                found.push(*child);
            }
        }
    }
    found
}

/// Signals every descendant of `ancestor`; how many there were.
pub(crate) fn signal_descendants(ancestor: i32, signal: Signal) -> io::Result<usize> {
    let found = descendants(ancestor)?;
    for pid in &found {
        send(*pid, signal)?;
    }
    Ok(found.len())
}

/// Sends a signal; a process that is gone already is a success.
pub(crate) fn send(pid: i32, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_walked_parents_first_and_only_below_the_ancestor() {
        let children =
            BTreeMap::from([(1, vec![2, 9]), (2, vec![3, 4]), (4, vec![5]), (9, vec![10])]);
        assert_eq!(below(2, &children), [3, 4, 5]);
        assert_eq!(below(1, &children), [2, 9, 3, 4, 10, 5]);
        assert_eq!(below(10, &children), Vec::<i32>::new());
        let looped = BTreeMap::from([(1, vec![2]), (2, vec![3]), (3, vec![2])]);
        assert_eq!(below(1, &looped), [2, 3], "a pid used again during the scan ends nothing");
    }
}
