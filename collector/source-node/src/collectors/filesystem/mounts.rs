//! `/proc/<pid>/mountinfo`, without what is no storage.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One mounted file system that is measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mount {
    pub(crate) device: String,
    /// As labels show it, without the prefix of the root.
    pub(crate) mountpoint: String,
    pub(crate) fstype: String,
    /// Where this process finds it.
    pub(crate) path: PathBuf,
    pub(crate) is_readonly: bool,
}

/// File systems that store nothing (node_exporter's default exclusion).
const EXCLUDED_TYPES: [&str; 27] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "fuse.lxcfs",
    "efivarfs",
];

/// node_exporter's default `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`.
fn is_excluded_point(mountpoint: &str) -> bool {
    let is_or_below = |dir: &str| {
        mountpoint.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_below = |dir: &str| {
        mountpoint.strip_prefix(dir).is_some_and(|rest| !rest.trim_matches('/').is_empty())
    };
    ["/dev", "/proc", "/sys"].into_iter().any(is_or_below)
        || ["/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/"]
            .into_iter()
            .any(is_below)
}

/// The mounts worth measuring, each once; `None` when a line is not of the documented form.
///
/// A mount of a part of a file system that is mounted whole elsewhere says nothing new and is left out;
/// a btrfs subvolume is such a part too, but is looked for under its own name and stays.
pub(crate) fn parse(text: &str, rootfs: &Path) -> Option<Vec<Mount>> {
    let mut whole = BTreeSet::new();
    let mut mounts: Vec<(Mount, &str, bool)> = Vec::new();
    for line in text.lines() {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(2);
        let (device_number, root, point, options) =
            (before.next()?, before.next()?, before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (fstype, device) = (after.next()?, after.next()?);
        let super_options = after.next().unwrap_or_default();
        let path = PathBuf::from(unescape(point));
        let Some(mountpoint) = strip_root(&path, rootfs) else { continue };
        if EXCLUDED_TYPES.contains(&fstype) || is_excluded_point(&mountpoint) {
            continue;
        }
        let is_part = root != "/" && fstype != "btrfs";
        if !is_part {
            whole.insert(device_number);
        }
        let is_ro = |options: &str| options.split(',').any(|option| option == "ro");
        let mount = Mount {
            device: unescape(device),
            mountpoint,
            fstype: fstype.to_owned(),
            path,
            is_readonly: is_ro(options) || is_ro(super_options),
        };
        // what is mounted over another mount hides it
        mounts.retain(|(other, _, _)| other.mountpoint != mount.mountpoint);
        mounts.push((mount, device_number, is_part));
    }
    mounts.retain(|(_, device_number, is_part)| !is_part || !whole.contains(device_number));
    Some(mounts.into_iter().map(|(mount, _, _)| mount).collect())
}

/// The mount point as the machine itself sees it; `None` when it lies outside of the root.
fn strip_root(path: &Path, rootfs: &Path) -> Option<String> {
    let below = path.strip_prefix(rootfs).ok()?;
    Some(Path::new("/").join(below).to_string_lossy().into_owned())
}

/// `\040` and its like back into characters.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\').then(|| tail.get(..3)).flatten().and_then(|digits| {
            digits.iter().try_fold(0_u32, |number, digit| {
                digit.is_ascii_digit().then(|| number * 8 + u32::from(digit - b'0'))
            })
        });
        match octal.and_then(|number| u8::try_from(number).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, rootfs: &str, expected: &[&str]) {
        let mounts = parse(text, Path::new(rootfs)).unwrap();
        let shown: Vec<String> = mounts
            .iter()
            .map(|mount| {
                let ro = if mount.is_readonly { " ro" } else { "" };
                format!("{} {} {}{ro}", mount.device, mount.mountpoint, mount.fstype)
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn storage_is_listed_and_the_rest_left_out() {
        check(
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
             27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
             28 27 254:1 / /mnt/my\\040disk ro - ext4 /dev/vdb ro\n\
             29 27 254:0 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/vda rw\n\
             30 27 254:2 /vol /only/part rw - xfs /dev/vdc rw\n\
             31 27 0:40 /@home /home rw - btrfs /dev/vdd rw\n\
             32 27 0:40 /@ /top rw - btrfs /dev/vdd rw\n\
             33 24 0:23 / /dev/shm rw - tmpfs tmpfs rw\n\
             34 27 0:23 / /var/lib/docker/overlay2/x rw - tmpfs tmpfs rw\n\
             35 27 0:50 / /developers rw - tmpfs none rw\n\
             36 27 0:51 / /developers rw - ext4 /dev/vde rw\n",
            "/",
            &[
                "/dev/vda / ext4",
                "/dev/vdb /mnt/my disk ext4 ro",
                "/dev/vdc /only/part xfs",
                "/dev/vdd /home btrfs",
                "/dev/vdd /top btrfs",
                "/dev/vde /developers ext4",
            ],
        );
    }

    #[test]
    fn the_prefix_of_the_root_is_stripped() {
        check(
            "1 0 8:1 / /host rw - ext4 /dev/sda rw\n2 1 8:2 / /host/data rw - ext4 /dev/sdb rw\n\
             3 1 8:3 / /own rw - ext4 /dev/sdc rw\n",
            "/host",
            &["/dev/sda / ext4", "/dev/sdb /data ext4"],
        );
    }

    #[test]
    fn a_line_of_another_form_is_no_mount_table() {
        assert_eq!(parse("27 1 254:0 / / rw", Path::new("/")), None);
        assert_eq!(unescape(r"a\040b\\x\09"), r"a b\\x\09");
    }
}
