//! One file per collector; [`all`] in the order of their names.

mod conntrack;
mod cpu;
mod cpufreq;
mod diskstats;
mod entropy;
mod filefd;
pub(crate) mod filesystem;
mod loadavg;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
mod pressure;
mod schedstat;
mod sockstat;
mod softnet;
mod stat;
mod time;
mod udev;
mod uname;
mod vmstat;

use crate::collector::Collector;
use crate::config::Config;
use filesystem::Statfs;

/// Every collector of the default set that is implemented.
pub(crate) fn all(config: &Config, statfs: Statfs) -> Vec<Box<dyn Collector>> {
    let roots = &config.roots;
    vec![
        Box::new(conntrack::Conntrack::new(roots)),
        Box::new(cpu::Cpu::new(roots, config.cpu_info)),
        Box::new(cpufreq::CpuFrequency::new(roots)),
        Box::new(diskstats::DiskStats::new(roots)),
        Box::new(entropy::Entropy::new(roots)),
        Box::new(filefd::FileHandles::new(roots)),
        Box::new(filesystem::Filesystems::new(config, statfs)),
        Box::new(loadavg::LoadAverage::new(roots)),
        Box::new(meminfo::MemoryInfo::new(roots)),
        Box::new(netclass::NetClass::new(roots, config.netclass_ignored_devices.clone())),
        Box::new(netdev::NetDevices::new(roots)),
        Box::new(netstat::NetStat::new(roots)),
        Box::new(pressure::Pressure::new(roots)),
        Box::new(schedstat::SchedStat::new(roots)),
        Box::new(sockstat::SockStat::new(roots)),
        Box::new(softnet::SoftNet::new(roots)),
        Box::new(stat::Stat::default()),
        Box::new(time::Time::new(roots)),
        Box::new(uname::Uname::default()),
        Box::new(vmstat::VmStat::new(roots)),
    ]
}
