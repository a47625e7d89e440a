//! The command line as clap reads it. Names are part of the product's contract.

mod alerting;
mod consoles;
mod query;
mod storage;
mod tsdb;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use swell_cli::ClientVerb;
use swell_model::DurationMs;

pub(crate) use alerting::AlertingArgs;
pub(crate) use consoles::ConsoleArgs;
pub(crate) use query::QueryArgs;
pub(crate) use storage::StorageArgs;
pub(crate) use tsdb::{
    ExportFormat, ImportFormat, TsdbAcknowledgeArgs, TsdbArgs, TsdbCompactArgs, TsdbExportArgs,
    TsdbImportArgs, TsdbRestoreArgs, TsdbSnapshotArgs, TsdbVerb,
};
pub(crate) use web::{ListenAddress, WebArgs};

/// Watches containers and machines every second, keeps their metrics, and scales within a second or two.
#[derive(Debug, Parser)]
#[command(name = "swell", version = swell_telemetry::VERSION, propagate_version = true)]
#[command(
    after_help = "Start with: swell demo\nExit status: 0 done, 1 failed, 2 wrong usage, 4 not found, 5 timeout, 6 denied"
)]
pub(crate) struct Cli {
    /// What is logged to standard error, such as info or warn,swell_engine=debug
    #[arg(
        long,
        alias = "log.level",
        global = true,
        env = "SWELL_LOG",
        value_name = "FILTER",
        default_value = "warn"
    )]
    pub(crate) log: String,
    /// Form of the log
    #[arg(long, alias = "log.format", global = true, value_enum, default_value = "text")]
    pub(crate) log_format: LogForm,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// For people
    #[value(alias = "logfmt")]
    Text,
    /// One JSON object a line
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show it all at work on this machine: a service, load, scaling, an alert
    #[command(after_help = "Example: swell demo --exit --output json")]
    Demo(DemoArgs),
    /// Run the control plane: metrics, rules and alerts, the Kubernetes-style API, autoscaling, web UI
    #[command(after_help = "Example: swell server --data-dir ./swell-data --with-agent")]
    Server(Box<ServerArgs>),
    /// Run the agent of one node: collect, run pods, proxy services
    #[command(after_help = "Example: swell agent --server 10.0.0.5:9095 --token-file agent.token")]
    Agent(AgentArgs),
    #[command(flatten)]
    Client(ClientVerb),
    /// Check configuration and rule files without a server
    #[command(subcommand)]
    Check(CheckVerb),
    /// Run unit tests of rules
    #[command(subcommand)]
    Test(TestVerb),
    /// Look into a data directory that no server uses
    #[command(subcommand)]
    Tsdb(TsdbVerb),
    /// Print the token with which agents join
    #[command(after_help = "Example: swell token --data-dir ./swell-data > agent.token")]
    Token(DataDirArgs),
    /// Print the kubeconfig of a server's data directory
    #[command(
        after_help = "Example: kubectl --kubeconfig <(swell kubeconfig --data-dir ./swell-data) get nodes"
    )]
    Kubeconfig(DataDirArgs),
    /// Check whether this machine is fit: kernel, limits, ports, clock, disk
    #[command(after_help = "Example: swell doctor --data-dir ./swell-data")]
    Doctor(DoctorArgs),
    /// Print completions for a shell
    #[command(after_help = "Example: swell completion bash > /etc/bash_completion.d/swell")]
    Completion {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the version
    Version(OutputArgs),
    /// The service that the demo scales
    #[command(hide = true)]
    DemoService(DemoServiceArgs),
}

/// Form of a command's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// How to print.
#[derive(Args, Debug)]
pub(crate) struct OutputArgs {
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputForm,
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Stop after the summary instead of staying up until Ctrl-C
    #[arg(long)]
    pub(crate) exit: bool,
    /// Form of the summary; with json the last line of standard output is one object
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputForm,
    /// Address of the web UI and the HTTP API; a free port is taken if this one is in use
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub(crate) listen_http: SocketAddr,
}

/// Arguments of the demo's service.
#[derive(Args, Debug)]
pub(crate) struct DemoServiceArgs {
    /// Where to listen
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// CPU time of a request in microseconds
    #[arg(long)]
    pub(crate) cost_us: u64,
}

/// Arguments of `server`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// Configuration: a prometheus.yml, with Swell's own settings under `swell:`
    #[arg(long, alias = "config.file", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Everything the server keeps
    #[arg(long, alias = "storage.tsdb.path", value_name = "DIR", default_value = "swell-data")]
    pub(crate) data_dir: PathBuf,
    /// Run a node agent in the same process
    #[arg(long)]
    pub(crate) with_agent: bool,
    /// Read the configuration again once its files have changed, looked at this often; 30s unless given. With --enable-feature=auto-reload-config
    #[arg(long = "config.auto-reload-interval", value_name = "TIME", value_parser = parse_time)]
    pub(crate) auto_reload_interval: Option<DurationMs>,
    /// Address of the web UI and the HTTP API, which may be given several times; :9090 is that port of every IPv4 address
    #[arg(
        long,
        alias = "web.listen-address",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090",
        value_parser = web::parse_address
    )]
    pub(crate) listen_http: Vec<ListenAddress>,
    /// Address for agents, or off
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:9095")]
    pub(crate) listen_grpc: Listen,
    /// Address of the Kubernetes-style API, or off
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:6443")]
    pub(crate) listen_kube: Listen,
    /// Name of this node, with --with-agent; the host's name unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// How long samples are kept, such as 15d, or 0 for no limit beside the one of size; before the configuration's storage.tsdb.retention.time
    #[arg(long, alias = "storage.tsdb.retention.time", value_name = "TIME", value_parser = parse_retention)]
    pub(crate) retention_time: Option<DurationMs>,
    /// Bytes of samples kept at most, such as 10GB; before the configuration's storage.tsdb.retention.size
    #[arg(long, alias = "storage.tsdb.retention.size", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) retention_size: Option<u64>,
    /// Allow deletion and snapshots over HTTP, as swell.admin_api in the configuration does
    #[arg(long, alias = "web.enable-admin-api")]
    pub(crate) enable_admin_api: bool,
    /// TLS, users and headers of the HTTP port, in the format of Prometheus' exporter toolkit
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub(crate) web_config: Option<PathBuf>,
    /// Allow this host and known users to reload the configuration and to stop the server over HTTP, as swell.lifecycle_api does
    #[arg(long, alias = "web.enable-lifecycle")]
    pub(crate) enable_lifecycle: bool,
    /// Experimental features to switch on, separated by commas, such as promql-experimental-functions; as swell.features does
    #[arg(long = "enable-feature", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) enable_features: Vec<String>,
    /// Take samples by remote write whatever the address; without this, only while HTTP listens on loopback
    #[arg(long = "web.enable-remote-write-receiver")]
    pub(crate) enable_remote_write_receiver: bool,
    /// Samples that one remote read may have
    #[arg(long = "storage.remote.read-sample-limit", value_name = "COUNT")]
    pub(crate) remote_read_samples_max: Option<usize>,
    /// Remote reads that run at once
    #[arg(long = "storage.remote.read-concurrent-limit", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) remote_reads_max: Option<usize>,
    /// Take metrics by OTLP whatever the address; without this, only while HTTP listens on loopback
    #[arg(long = "web.enable-otlp-receiver")]
    pub(crate) enable_otlp_receiver: bool,
    /// Messages that remote write takes, separated by commas; both unless given
    #[arg(
        long = "web.remote-write-receiver.accepted-protobuf-messages",
        value_name = "MESSAGES",
        value_delimiter = ',',
        value_parser = crate::config::parse_message
    )]
    pub(crate) accepted_protobuf_messages: Vec<swell_tsdb_http::Message>,
    #[command(flatten)]
    pub(crate) web: WebArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) query: QueryArgs,
    #[command(flatten)]
    pub(crate) alerting: AlertingArgs,
    #[command(flatten)]
    pub(crate) consoles: ConsoleArgs,
}

fn parse_time(text: &str) -> Result<DurationMs, String> {
    let time = DurationMs::parse_prometheus(text).map_err(|error| error.to_string())?;
    if time.0 > 0 { Ok(time) } else { Err("it must be above 0".to_owned()) }
}

fn parse_retention(text: &str) -> Result<DurationMs, String> {
    DurationMs::parse_prometheus(text).map_err(|error| error.to_string())
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if count > 0 { Ok(count) } else { Err("it must be above 0".to_owned()) }
}

fn parse_size(text: &str) -> Result<u64, String> {
    crate::config::parse_size(text)
        .ok_or_else(|| format!("{text:?} is not a size such as 512MB or 10GiB"))
}

/// Arguments of `agent`.
#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    /// The server's address for agents
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) server: String,
    /// File with the token that `swell token` prints
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Where the agent keeps the state of its pods and their logs
    #[arg(long, value_name = "DIR", default_value = "swell-agent-data")]
    pub(crate) data_dir: PathBuf,
    /// Name of this node; the host's name unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
}

/// An address, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Listen there.
    At(SocketAddr),
    /// Do not listen.
    Off,
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| format!("{text:?} is neither an address such as 127.0.0.1:6443 nor off"))
    }
}

/// A data directory.
#[derive(Args, Debug)]
pub(crate) struct DataDirArgs {
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "swell-data")]
    pub(crate) data_dir: PathBuf,
}

/// Arguments of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Where a server would keep its data
    #[arg(long, value_name = "DIR", default_value = "swell-data")]
    pub(crate) data_dir: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputForm,
}

/// What to check.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckVerb {
    /// Check configuration files
    #[command(after_help = "Example: swell check config swell.yaml")]
    Config(FilesArgs),
    /// Check rule files
    #[command(after_help = "Example: swell check rules rules/*.yaml")]
    Rules(FilesArgs),
}

/// Files to check.
#[derive(Args, Debug)]
pub(crate) struct FilesArgs {
    /// Files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// What to test.
#[derive(Debug, Subcommand)]
pub(crate) enum TestVerb {
    /// Run unit tests of rules, in the files of `promtool test rules`
    #[command(after_help = "Example: swell test rules rules/tests/*.yaml --run 'HighLoad.*'")]
    Rules(TestRulesArgs),
}

/// Arguments of `test rules`.
#[derive(Args, Debug)]
pub(crate) struct TestRulesArgs {
    /// Test files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Only tests whose name this expression finds; may be given several times
    #[arg(long, value_name = "REGEX")]
    pub(crate) run: Vec<regex::Regex>,
    /// Experimental features of the query language, separated by commas, such as promql-experimental-functions
    #[arg(long = "enable-feature", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) enable_features: Vec<String>,
    /// Pass over unknown fields in rule files instead of refusing them
    #[arg(long)]
    pub(crate) ignore_unknown_fields: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputForm,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_verb_shows_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let nested = verb.get_subcommands().count() > 0;
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let plain = ["completion", "version"].contains(&verb.get_name());
            assert!(nested || plain || help.starts_with("Example: "), "{}", verb.get_name());
        }
    }

    #[test]
    fn the_log_has_prometheus_names() {
        let line = ["swell", "server", "--log.level=debug", "--log.format"];
        for (word, form) in [("json", LogForm::Json), ("logfmt", LogForm::Text)] {
            let cli = Cli::try_parse_from([&line[..], &[word]].concat()).expect("good");
            assert_eq!((cli.log.as_str(), cli.log_format), ("debug", form));
        }
    }

    #[test]
    fn listening_can_be_switched_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert!("6443".parse::<Listen>().is_err());
    }
}
