//! The verbs' arguments as clap reads them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// A verb that talks to a server.
#[derive(Debug, Subcommand)]
pub enum ClientVerb {
    /// Create or change objects from YAML or JSON files
    #[command(after_help = "Example: swell apply -f examples/demo/10-web.yaml")]
    Apply(ApplyArgs),
    /// Show objects
    #[command(after_help = "Example: swell get pods -n demo -o wide")]
    Get(GetArgs),
    /// Show one object with its events
    #[command(after_help = "Example: swell describe hpa/web -n demo")]
    Describe(DescribeArgs),
    /// Delete objects
    #[command(after_help = "Example: swell delete deployment/web -n demo")]
    Delete(DeleteArgs),
    /// Set the number of replicas
    #[command(after_help = "Example: swell scale deployment/web --replicas 3 -n demo")]
    Scale(ScaleArgs),
    /// Print a container's log
    #[command(after_help = "Example: swell logs web-5d9c7b6f4-x2x9k -n demo --follow")]
    Logs(LogsArgs),
    /// Show what pods or nodes use
    #[command(after_help = "Example: swell top pods -n demo")]
    Top(TopArgs),
    /// Show events, oldest first
    #[command(after_help = "Example: swell events -n demo")]
    Events(EventsArgs),
    /// Evaluate PromQL; with --range draw it
    #[command(
        after_help = "Example: swell query 'sum(rate(container_cpu_usage_seconds_total[1m]))' --range 10m"
    )]
    Query(QueryArgs),
    /// Why the autoscaler did what it did
    #[command(after_help = "Example: swell explain hpa/web -n demo --at 2026-01-31T12:00:05Z")]
    Explain(ExplainArgs),
}

/// Where the Kubernetes-style API is.
#[derive(Args, Clone, Debug)]
pub struct KubeArgs {
    /// File with the server's address and who you are
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", default_value = "swell-data/kubeconfig")]
    pub kubeconfig: PathBuf,
    /// Namespace
    #[arg(long, short, default_value = "default")]
    pub namespace: String,
}

/// Where the HTTP API is.
#[derive(Args, Clone, Debug)]
pub struct HttpArgs {
    /// Address of the HTTP API, with a user if it asks for one: https://USER:PASSWORD@HOST:9090
    #[arg(
        long,
        env = "SWELL_SERVER",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:9090"
    )]
    pub server: String,
    /// Authorities to trust over https, as PEM; those of the system unless given
    #[arg(long, env = "SWELL_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// More columns
    Wide,
    /// The objects as JSON
    Json,
    /// The objects as YAML
    Yaml,
    /// KIND/NAME, a line each
    Name,
}

/// Arguments of `apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// File or folder to read, - for standard input; may be repeated
    #[arg(long = "filename", short = 'f', required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Let the server check everything and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where the API is
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Arguments of `get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// KIND or KIND/NAME, several kinds separated by commas
    #[arg(value_name = "KIND[/NAME]")]
    pub what: String,
    /// Names, if not given as KIND/NAME
    pub names: Vec<String>,
    /// All namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Label selector, such as app=web
    #[arg(long, short = 'l')]
    pub selector: Option<String>,
    /// Form of the output
    #[arg(long, short, value_enum, default_value = "table")]
    pub output: Format,
    /// Where the API is
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Arguments of `describe`.
#[derive(Args, Debug)]
pub struct DescribeArgs {
    /// KIND/NAME
    #[arg(value_name = "KIND/NAME")]
    pub what: String,
    /// Name, if not given as KIND/NAME
    pub name: Option<String>,
    /// Where the API is
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Arguments of `delete`.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// KIND/NAME
    #[arg(value_name = "KIND/NAME", required_unless_present = "files")]
    pub what: Option<String>,
    /// Names, if not given as KIND/NAME
    pub names: Vec<String>,
    /// Delete the objects of these files
    #[arg(long = "filename", short = 'f', value_name = "FILE", conflicts_with = "what")]
    pub files: Vec<PathBuf>,
    /// Let the server check everything and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// It is no error if an object is not there
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Where the API is
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Arguments of `scale`.
#[derive(Args, Debug)]
pub struct ScaleArgs {
    /// KIND/NAME
    #[arg(value_name = "KIND/NAME")]
    pub what: String,
    /// Replicas wanted
    #[arg(long)]
    pub replicas: i32,
    /// Where the API is
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Arguments of `logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Pod, also as pod/NAME
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Container, if the pod has several
    #[arg(long, short)]
    pub container: Option<String>,
    /// Go on as lines are written
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u64>,
    /// The run before the last restart
    #[arg(long, short)]
    pub previous: bool,
    /// A time in front of each line
    #[arg(long)]
    pub timestamps: bool,
    /// Where the API is
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// What `top` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TopKind {
    /// Pods, highest CPU first
    #[value(alias = "pod")]
    Pods,
    /// Nodes
    #[value(alias = "node")]
    Nodes,
}

/// Arguments of `top`.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// pods or nodes
    #[arg(value_enum)]
    pub what: TopKind,
    /// Only this namespace
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Where the HTTP API is
    #[command(flatten)]
    pub http: HttpArgs,
}

/// Arguments of `events`.
#[derive(Args, Debug)]
pub struct EventsArgs {
    /// All namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Form of the output
    #[arg(long, short, value_enum, default_value = "table")]
    pub output: Format,
    /// Where the API is
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// Arguments of `query`.
#[derive(Args, Debug)]
pub struct QueryArgs {
    /// The expression
    #[arg(value_name = "PROMQL")]
    pub expression: String,
    /// Draw the last so much time, such as 1h; with --output arrow, the raw samples of that time
    #[arg(long, value_name = "DURATION")]
    pub range: Option<String>,
    /// Distance of the points; fits the terminal unless given
    #[arg(long, value_name = "DURATION", requires = "range")]
    pub step: Option<String>,
    /// Evaluate at this time instead of now (RFC 3339 or Unix seconds)
    #[arg(long, value_name = "TIME", conflicts_with = "range")]
    pub time: Option<String>,
    /// text, the API's answer as JSON, or raw samples of a selector as a stream of Arrow record batches
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: QueryFormat,
    /// With --output arrow: where the stream is written, once it is whole; standard output unless given
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where the HTTP API is
    #[command(flatten)]
    pub http: HttpArgs,
}

/// Form of a query's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    /// For people
    Text,
    /// The answer of the API
    Json,
    /// Arrow IPC stream of the samples of a selector, as they were stored
    Arrow,
}

/// Form of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For people
    Text,
    /// The answer of the API
    Json,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// KIND/NAME, such as hpa/web or deployment/web
    #[arg(value_name = "KIND/NAME")]
    pub what: String,
    /// The decision in force at this time (RFC 3339 or Unix seconds); the latest unless given
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Namespace
    #[arg(long, short, default_value = "default")]
    pub namespace: String,
    /// text, or the decision record as JSON
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: ExplainFormat,
    /// Where the HTTP API is
    #[command(flatten)]
    pub http: HttpArgs,
}
