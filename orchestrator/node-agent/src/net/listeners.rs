//! Who listens where, read from `/proc/net` and the descriptors of processes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

use crate::pod::spec::PortSpec;

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listener {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Why a program could not listen on these ports of `address`; `None` when it could.
pub(crate) fn port_conflict(address: IpAddr, ports: &[PortSpec]) -> Option<String> {
    ports.iter().find_map(|port| {
        let bound = if port.is_tcp {
            TcpListener::bind((address, port.number)).map(drop)
        } else {
            UdpSocket::bind((address, port.number)).map(drop)
        };
        let taken = bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
        taken.then(|| {
            let holder = holder(address, port.number);
            format!("port {} of address {address} is taken{holder}", port.number)
        })
    })
}

/// Who holds a port, as far as this user may see; the end of a sentence.
fn holder(address: IpAddr, port: u16) -> String {
    let Ok(listeners) = listeners() else { return String::new() };
    let holding = listeners.into_iter().find(|listener| {
        listener.port == port && (listener.address == address || listener.address.is_unspecified())
    });
    let Some(listener) = holding else { return String::new() };
    let place = format!("{}:{}", listener.address, listener.port);
    let process = processes().find(|pid| sockets(*pid).contains(&listener.inode));
    let name = process.map_or_else(
        || "a process of another user".to_owned(),
        |pid| {
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("pid {pid} ({})", command.trim())
        },
    );
    let advice = if listener.address.is_unspecified() {
        ": stop it, or let it listen on one address instead of all"
    } else {
        ": stop it"
    };
    format!(" by {name}, which listens on {place}{advice}")
}

/// Where the processes `tree` listen although they should listen on `address`: on all addresses, or with a
/// declared port on another one. A sentence for people; `None` when all is well.
pub(crate) fn misbound(
    tree: &[u32],
    address: IpAddr,
    ports: &BTreeSet<u16>,
) -> io::Result<Option<String>> {
    let inodes: BTreeSet<u64> = tree.iter().flat_map(|pid| sockets(*pid)).collect();
    if inodes.is_empty() {
        return Ok(None);
    }
    let own: Vec<Listener> =
        listeners()?.into_iter().filter(|listener| inodes.contains(&listener.inode)).collect();
    Ok(complaint(&own, address, ports))
}

fn complaint(own: &[Listener], address: IpAddr, ports: &BTreeSet<u16>) -> Option<String> {
    let wrong = own.iter().find(|listener| {
        let right = own.iter().any(|l| l.port == listener.port && l.address == address);
        listener.address.is_unspecified()
            || (listener.address != address && ports.contains(&listener.port) && !right)
    })?;
    let place = if wrong.address.is_unspecified() {
        format!("on all addresses (port {})", wrong.port)
    } else {
        format!("on {}:{}", wrong.address, wrong.port)
    };
    Some(format!(
        "listens {place} instead of the pod's own address; bind to $POD_IP ({address}) so that other pods \
         can use the port too"
    ))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Inodes of the sockets a process has open; none when it is gone or another user's.
fn sockets(pid: u32) -> BTreeSet<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

fn listeners() -> io::Result<Vec<Listener>> {
    let mut found = parse(&fs::read_to_string("/proc/net/tcp")?);
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => found.extend(parse(&text)),
        // Without IPv6 there is no such file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn parse(table: &str) -> Vec<Listener> {
    table.lines().skip(1).filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    Some(Listener {
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.nth(5)?.parse().ok()?,
    })
}

/// Addresses are printed as 32-bit words in the machine's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word =
        |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?);
            Some(address.to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 64, 0, 9));

    #[test]
    fn tables_parse_in_both_address_families() {
        // Little-endian, as every machine this runs on.
        let v4 = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                  0: 0900407F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0\n\
                  1: 0100007F:0016 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0 10 0\n";
        assert_eq!(parse(v4), [Listener { address: LOCAL, port: 8080, inode: 4242 }]);
        let v6 = "header\n\
                  0: 00000000000000000000000000000000:0050 0:0 0A 0:0 00:0 0 0 0 5 1\n\
                  1: 0000000000000000FFFF00000900407F:0051 0:0 0A 0:0 00:0 0 0 0 6 1\n";
        let found = parse(v6);
        assert!(found[0].address.is_unspecified());
        assert_eq!((found[1].address, found[1].port), (LOCAL, 0x51));
    }

    #[test]
    fn only_what_hurts_is_complained_about() {
        let at =
            |address: &str, port| Listener { address: address.parse().unwrap(), port, inode: 1 };
        let ports = BTreeSet::from([8080]);
        let check = |own: &[Listener], word: Option<&str>| {
            let found = complaint(own, LOCAL, &ports);
            assert_eq!(found.is_some(), word.is_some(), "{found:?}");
            if let (Some(found), Some(word)) = (found, word) {
                assert!(found.contains(word) && found.contains("$POD_IP"), "{found}");
            }
        };
        check(&[at("127.64.0.9", 8080)], None);
        check(&[at("0.0.0.0", 8080)], Some("all addresses (port 8080)"));
        check(&[at("::", 9999)], Some("port 9999"));
        check(&[at("127.0.0.1", 8080)], Some("127.0.0.1:8080"));
        check(&[at("127.0.0.1", 5555)], None);
        check(&[at("127.0.0.1", 8080), at("127.64.0.9", 8080)], None);
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let number = holder.local_addr().unwrap().port();
        let port = PortSpec { name: None, number, is_tcp: true };
        let conflict = port_conflict(LOCAL, std::slice::from_ref(&port)).expect("a conflict");
        let own = format!("pid {}", std::process::id());
        assert!(conflict.contains(&own) && conflict.contains("one address"), "{conflict}");
        drop(holder);
        assert_eq!(port_conflict(LOCAL, &[port]), None);
    }

    #[test]
    fn our_own_listener_is_found_by_process() {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = misbound(&[std::process::id()], LOCAL, &BTreeSet::new()).unwrap();
        assert!(found.is_some(), "port {port} on all addresses");
    }
}
