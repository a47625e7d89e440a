//! Protocol counters of `/proc/net/{netstat,snmp,snmp6}`, node_exporter's default selection.

use swell_model::PassSeries;
use swell_source::{KernelFile, KeyedSeries, fields, key_value, lines, parse_f64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

pub(crate) struct NetStat {
    tables: [Table; 2],
    snmp6: KernelFile,
    snmp6_series: KeyedSeries<Option<PassSeries>>,
}

/// A file of line pairs: names, then values.
struct Table {
    file: KernelFile,
    /// By header line: the wanted columns and their series.
    groups: KeyedSeries<Vec<(usize, PassSeries)>>,
}

impl NetStat {
    pub(crate) fn new(roots: &Roots) -> Self {
        let dir = roots.procfs.join("net");
        let table =
            |name| Table { file: KernelFile::new(dir.join(name)), groups: KeyedSeries::default() };
        Self {
            tables: [table("netstat"), table("snmp")],
            snmp6: KernelFile::new(dir.join("snmp6")),
            snmp6_series: KeyedSeries::default(),
        }
    }
}

/// node_exporter's default `--collector.netstat.fields`.
fn is_wanted(group: &str, field: &str) -> bool {
    let listed = match group {
        "Ip" => field == "Forwarding",
        "Ip6" | "IpExt" => matches!(field, "InOctets" | "OutOctets"),
        "Icmp" | "Icmp6" => matches!(field, "InMsgs" | "OutMsgs"),
        "TcpExt" => {
            field.starts_with("Listen")
                || field.starts_with("Syncookies")
                || matches!(field, "TCPSynRetrans" | "TCPTimeouts" | "TCPOFOQueue" | "TCPRcvQDrop")
        }
        "Tcp" => matches!(
            field,
            "ActiveOpens"
                | "InSegs"
                | "OutSegs"
                | "OutRsts"
                | "PassiveOpens"
                | "RetransSegs"
                | "CurrEstab"
        ),
        "Udp" | "Udp6" => matches!(
            field,
            "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors"
        ),
        _ => false,
    };
    listed || matches!(field, "InErrors" | "InErrs")
}

impl Table {
    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let mut lines = lines(self.file.read(tick.scratch)?);
        while let (Some(header), Some(values)) = (lines.next(), lines.next()) {
            let columns = self.groups.entry(header, || {
                let header = String::from_utf8_lossy(header);
                let (group, names) = header.split_once(':').unwrap_or_default();
                names
                    .split_whitespace()
                    .enumerate()
                    .filter(|(_, field)| is_wanted(group, field))
                    .map(|(idx, field)| {
                        let name = format!("node_netstat_{group}_{field}");
                        (idx, tick.labels.series(&name, []))
                    })
                    .collect()
            });
            let mut columns = columns.iter_mut().peekable();
            for (idx, value) in fields(values).skip(1).enumerate() {
                let Some((_, series)) = columns.next_if(|(wanted, _)| *wanted == idx) else {
                    continue;
                };
                let Some(value) = parse_f64(value) else {
                    return Err(CollectError::malformed(self.file.path(), "a value is no number"));
                };
                series.record(tick.pass, value);
            }
        }
        self.groups.end_tick();
        Ok(())
    }
}

impl Collector for NetStat {
    fn name(&self) -> &'static str {
        "netstat"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for table in &mut self.tables {
            table.collect(tick)?;
        }
        let text = match self.snmp6.read(tick.scratch) {
            Ok(text) => text,
            // a kernel without IPv6
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for (key, value) in lines(text).filter_map(key_value) {
            let series = self.snmp6_series.entry(key, || {
                let key = String::from_utf8_lossy(key);
                let (group, field) = key.split_at(key.find('6')? + 1);
                is_wanted(group, field)
                    .then(|| tick.labels.series(&format!("node_netstat_{group}_{field}"), []))
            });
            if let Some(series) = series {
                #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
                series.record(tick.pass, value as f64);
            }
        }
        self.snmp6_series.end_tick();
        Ok(())
    }
}
