//! Finds who listens on a TCP port: `/proc/net/tcp` has the socket's inode, `/proc/<pid>/fd` its owner.

use std::fs;
use std::path::Path;

/// State of a listening socket in `/proc/net/tcp`.
const STATE_LISTEN: &str = "0A";

/// `name (pid N)` of the process that listens on `port`; none when it belongs to another user.
pub(crate) fn port_holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    }) {
        if holds_one(&process.path(), &links) {
            let pid = process.file_name();
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {})", name.trim(), pid.to_string_lossy()));
        }
    }
    None
}

fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (local, state) = (fields.next()?, fields.nth(1)?);
            let inode = fields.nth(5)?;
            (local.ends_with(&suffix) && state == STATE_LISTEN).then(|| inode.to_owned())
        })
        .collect()
}

fn holds_one(process: &Path, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.filter_map(Result::ok).any(|descriptor| {
        fs::read_link(descriptor.path())
            .is_ok_and(|link| link.to_str().is_some_and(|link| links.iter().any(|l| l == link)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_kernel_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0\n\
             1: 0100007F:2382 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0\n";
        assert_eq!(listening_inodes(table, 0x2382), ["4711"]);
        assert_eq!(listening_inodes(table, 1), Vec::<String>::new());
    }
}
