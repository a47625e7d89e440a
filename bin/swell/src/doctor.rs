//! Whether this machine is fit for Swell: each line says what was looked at, what was found, and what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde::Serialize;

use crate::args::{DoctorArgs, OutputForm};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { check, verdict, found: found.into(), fix: None }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Runs every check and prints a line each. The worst verdict is the exit status: 0, 1 (warnings) or 2 (failures).
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<u8> {
    let findings = [
        kernel(),
        process_accounting(),
        pressure(),
        cgroups(),
        loopback_addresses(),
        port("HTTP port 9090", 9090, "--listen-http"),
        port("agent port 9095", 9095, "--listen-grpc"),
        port("Kubernetes port 6443", 6443, "--listen-kube"),
        open_files(),
        free_space(&args.data_dir),
        writable(&args.data_dir),
    ];
    match args.output {
        OutputForm::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
        OutputForm::Text => {
            for finding in &findings {
                let verdict = match finding.verdict {
                    Verdict::Ok => "OK  ",
                    Verdict::Warn => "WARN",
                    Verdict::Fail => "FAIL",
                };
                println!("{verdict}  {:<22} {}", finding.check, finding.found);
                if let Some(fix) = &finding.fix {
                    println!("{:30}{fix}", "");
                }
            }
        }
    }
    Ok(findings.iter().map(|finding| finding.verdict as u8).max().unwrap_or(0))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 3) {
        Finding::new("kernel", Verdict::Ok, release)
    } else {
        Finding::new("kernel", Verdict::Fail, release)
            .fix("Swell follows processes by pidfd, which needs Linux 5.3 or newer")
    }
}

fn process_accounting() -> Finding {
    match read("/proc/self/schedstat") {
        Some(text) if text.split(' ').next().is_some_and(|run| run != "0") => {
            Finding::new("CPU in nanoseconds", Verdict::Ok, "/proc/PID/schedstat is kept")
        }
        _ => Finding::new("CPU in nanoseconds", Verdict::Warn, "/proc/PID/schedstat is not kept")
            .fix("CPU of pods without a cgroup is read in 10 ms ticks; enable CONFIG_SCHED_INFO"),
    }
}

fn pressure() -> Finding {
    if read("/proc/pressure/cpu").is_some() {
        Finding::new("pressure metrics", Verdict::Ok, "/proc/pressure is there")
    } else {
        Finding::new("pressure metrics", Verdict::Warn, "/proc/pressure is not there")
            .fix("boot with psi=1 to have node_pressure_* series")
    }
}

fn cgroups() -> Finding {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let kind = if unified { "cgroup v2" } else { "cgroup v1 or hybrid" };
    let own = rustix::process::geteuid().is_root();
    if own {
        Finding::new("cgroups", Verdict::Ok, format!("{kind}, limits can be set as root"))
    } else {
        Finding::new(
            "cgroups",
            Verdict::Ok,
            format!("{kind}; pods run without limits as this user"),
        )
    }
}

fn loopback_addresses() -> Finding {
    match TcpListener::bind("127.64.0.1:0") {
        Ok(_) => Finding::new("loopback addresses", Verdict::Ok, "127.0.0.0/8 can be bound"),
        Err(error) => {
            Finding::new("loopback addresses", Verdict::Fail, format!("127.64.0.1: {error}")).fix(
                "pods of the process runtime each need an address of 127.0.0.0/8 on the lo device",
            )
        }
    }
}

fn port(check: &'static str, port: u16, flag: &str) -> Finding {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Finding::new(check, Verdict::Ok, "free"),
        Err(error) => Finding::new(check, Verdict::Warn, error.to_string())
            .fix(format!("stop what listens there, or choose another with {flag}")),
    }
}

fn open_files() -> Finding {
    const WANTED: u64 = 4096;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let found = format!("{current} may be open");
    if current >= WANTED {
        Finding::new("open files", Verdict::Ok, found)
    } else {
        Finding::new("open files", Verdict::Warn, found).fix(format!("ulimit -n {WANTED}"))
    }
}

/// The directory itself, or the nearest one above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists() && !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn free_space(data_dir: &Path) -> Finding {
    const WANTED_BYTES: u64 = 1 << 30;
    match rustix::fs::statvfs(existing(data_dir)) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{} MiB free for {}", free >> 20, data_dir.display());
            if free >= WANTED_BYTES {
                Finding::new("disk space", Verdict::Ok, found)
            } else {
                Finding::new("disk space", Verdict::Warn, found)
                    .fix("give it a GiB, or set storage.tsdb.retention.size")
            }
        }
        Err(error) => Finding::new("disk space", Verdict::Fail, error.to_string()),
    }
}

fn writable(data_dir: &Path) -> Finding {
    let folder = existing(data_dir);
    match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK) {
        Ok(()) => {
            Finding::new("data directory", Verdict::Ok, format!("{} is writable", folder.display()))
        }
        Err(error) => {
            Finding::new("data directory", Verdict::Fail, format!("{}: {error}", folder.display()))
                .fix("choose another with --data-dir, or change its owner")
        }
    }
}
