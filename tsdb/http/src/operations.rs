//! What this API offers, for the OpenAPI document.

use swell_http::openapi::{Answer, Kind, Operation, Parameter};

const QUERY: Parameter = Parameter::new("query", Kind::Text, "The expression").required();
const AT: Parameter = Parameter::new("time", Kind::Time, "When it is evaluated; now unless told");
const START: Parameter =
    Parameter::new("start", Kind::Time, "First time; that of the oldest data unless told");
const END: Parameter =
    Parameter::new("end", Kind::Time, "Last time; that of the newest data unless told");
const FIRST_STEP: Parameter = Parameter::new("start", Kind::Time, "First step").required();
const LAST_STEP: Parameter =
    Parameter::new("end", Kind::Time, "No step is after this time").required();
const STEP: Parameter = Parameter::new("step", Kind::Duration, "Distance of steps").required();
const TIMEOUT: Parameter =
    Parameter::new("timeout", Kind::Duration, "Longest it may take, within the server's own limit");
const LIMIT: Parameter = Parameter::new(
    "limit",
    Kind::Whole,
    "Entries at most; 0 is no limit, which counts unless told",
);
const LOOKBACK: Parameter =
    Parameter::new("lookback_delta", Kind::Duration, "How far back a sample counts as current");
const STATS: Parameter =
    Parameter::new("stats", Kind::OneOf(&["true", "all"]), "Say what the evaluation cost");
const MATCH: Parameter =
    Parameter::new("match[]", Kind::Texts, "Selectors of series, of which one has to match");
const POOL: Parameter = Parameter::new("scrapePool", Kind::Text, "Name of the job");

const SEARCH: [Parameter; 12] = [
    MATCH,
    Parameter::new("search[]", Kind::Texts, "Terms, of which one has to be answered; 32 at most"),
    Parameter::new("fuzz_alg", Kind::OneOf(&["subsequence", "jarowinkler"]), "How names answer"),
    Parameter::new("fuzz_threshold", Kind::Whole, "Least score in hundredths; 0 unless told"),
    Parameter::new("case_sensitive", Kind::Truth, "Whether case counts; it does unless told"),
    Parameter::new(
        "sort_by",
        Kind::OneOf(&["alpha", "score"]),
        "Order of names; alpha unless told",
    ),
    Parameter::new("sort_dir", Kind::OneOf(&["asc", "dsc"]), "Direction of sort_by=alpha"),
    Parameter::new("include_score", Kind::Truth, "Tell the score of each name"),
    Parameter::new("start", Kind::Time, "First time; an hour ago unless told"),
    Parameter::new("end", Kind::Time, "Last time; now unless told"),
    Parameter::new("limit", Kind::Whole, "Names at most; 100 unless told"),
    Parameter::new("batch_size", Kind::Whole, "Names in a line; 100 unless told"),
];
const METRIC_SEARCH: [Parameter; 13] =
    with(SEARCH, Parameter::new("include_metadata", Kind::Truth, "Tell type, help and unit"));
const VALUE_SEARCH: [Parameter; 13] =
    with(SEARCH, Parameter::new("label", Kind::Text, "Whose values").required());

const fn with(most: [Parameter; 12], last: Parameter) -> [Parameter; 13] {
    let mut all = [last; 13];
    let mut idx = 0;
    while idx < most.len() {
        all[idx] = most[idx];
        idx += 1;
    }
    all
}

const LINES: &str = "application/x-ndjson";
const PROTOBUF: &[&str] = &["application/x-protobuf"];

const QUERIES: &[Operation] = &[
    Operation::new(
        "GET POST",
        "/api/v1/query",
        "query",
        "Evaluate an expression at one instant",
        &[QUERY, AT, TIMEOUT, LIMIT, LOOKBACK, STATS],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/query_range",
        "query",
        "Evaluate an expression at each step of a range",
        &[QUERY, FIRST_STEP, LAST_STEP, STEP, TIMEOUT, LIMIT, LOOKBACK, STATS],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/format_query",
        "query",
        "Print an expression in its canonical form",
        &[QUERY],
        Answer::Data("string"),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/parse_query",
        "query",
        "Give the tree of an expression",
        &[QUERY],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/query_exemplars",
        "query",
        "Find exemplars of the series that an expression selects",
        &[QUERY, START, END],
        Answer::Data("array"),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/series",
        "metadata",
        "List the series that selectors match",
        &[MATCH.required(), START, END, LIMIT],
        Answer::Data("array"),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/labels",
        "metadata",
        "List names of labels",
        &[MATCH, START, END, LIMIT],
        Answer::Data("array"),
    ),
    Operation::new(
        "GET",
        "/api/v1/label/{name}/values",
        "metadata",
        "List values of a label",
        &[
            Parameter::new("name", Kind::Text, "The label, escaped with U__ where it has to be")
                .required(),
            MATCH,
            START,
            END,
            LIMIT,
        ],
        Answer::Data("array"),
    ),
    Operation::new(
        "GET",
        "/api/v1/metadata",
        "metadata",
        "Tell type, help and unit of metrics",
        &[
            Parameter::new("metric", Kind::Text, "One metric; all unless told"),
            LIMIT,
            Parameter::new("limit_per_metric", Kind::Whole, "Entries of each metric at most"),
        ],
        Answer::Data("object"),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/search/metric_names",
        "search",
        "Find names of metrics",
        &METRIC_SEARCH,
        Answer::Stream(LINES),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/search/label_names",
        "search",
        "Find names of labels",
        &SEARCH,
        Answer::Stream(LINES),
    ),
    Operation::new(
        "GET POST",
        "/api/v1/search/label_values",
        "search",
        "Find values of a label",
        &VALUE_SEARCH,
        Answer::Stream(LINES),
    ),
];

const fn targets(
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
) -> Operation {
    Operation::new("GET", path, "targets", summary, parameters, Answer::Data("object"))
}

const EXPLAIN: &[Operation] = &[Operation::new(
    "GET POST",
    "/api/swell/v1/explain",
    "query",
    "Tell how a query would be evaluated, at an instant or over a range",
    &[
        QUERY,
        AT,
        Parameter::new("start", Kind::Time, "First step, with step"),
        Parameter::new("end", Kind::Time, "No step is after this time, with step"),
        Parameter::new("step", Kind::Duration, "Distance of steps; without it, an instant"),
        LOOKBACK,
    ],
    Answer::Data("object"),
)];

const TARGETS: &[Operation] = &[
    targets(
        "/api/v1/targets",
        "List targets of scraping",
        &[Parameter::new("state", Kind::OneOf(&["any", "active", "dropped"]), "Which ones"), POOL],
    ),
    Operation {
        answer: Answer::Data("array"),
        ..targets(
            "/api/v1/targets/metadata",
            "Tell type, help and unit of the metrics of targets",
            &[
                Parameter::new("match_target", Kind::Text, "Selector of targets"),
                Parameter::new("metric", Kind::Text, "One metric; all unless told"),
                LIMIT,
            ],
        )
    },
    targets(
        "/api/v1/targets/relabel_steps",
        "Show what each relabelling rule of a job does to labels",
        &[
            POOL.required(),
            Parameter::new("labels", Kind::Text, "Labels as a JSON object").required(),
        ],
    ),
    targets("/api/v1/scrape_pools", "List jobs", &[]),
    targets(
        "/api/v1/scrape_pools/config",
        "Show the configuration of a job, secrets hidden",
        &[POOL.required()],
    ),
];

const fn status(
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
) -> Operation {
    Operation::new("GET", path, "status", summary, parameters, Answer::Data("object"))
}

const STATUS: &[Operation] = &[
    status("/api/v1/features", "List what is switched on", &[]),
    status("/api/v1/status/buildinfo", "Tell versions", &[]),
    status("/api/v1/status/config", "Show the configuration, secrets hidden", &[]),
    status("/api/v1/status/flags", "Show flags", &[]),
    status("/api/v1/status/runtimeinfo", "Tell when and where the server runs", &[]),
    Operation {
        answer: Answer::Data("array"),
        ..status(
            "/api/v1/status/self_metrics",
            "Give the server's own metrics as JSON",
            &[Parameter::new("metric_name_pattern", Kind::Text, "Pattern of whole names")],
        )
    },
    status(
        "/api/v1/status/tsdb",
        "Tell size and cardinality of the storage",
        &[Parameter::new("limit", Kind::Whole, "Entries of each list, 1 to 10000; 10 unless told")],
    ),
    status("/api/v1/status/tsdb/blocks", "List blocks on disk", &[]),
    status("/api/swell/v1/queries", "List queries that run", &[]),
    Operation {
        answer: Answer::Data("array"),
        ..status("/api/swell/v1/damage", "List what is known to be damaged", &[])
    },
    status("/api/v1/status/walreplay", "Tell how far the log has been read back", &[]),
    Operation {
        answer: Answer::Data("array"),
        ..status("/api/v1/notifications", "Tell what the operator should know now", &[])
    },
    Operation {
        answer: Answer::Stream("text/event-stream"),
        ..status("/api/v1/notifications/live", "Follow what the operator should know", &[])
    },
];

const fn admin(
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    answer: Answer,
) -> Operation {
    Operation::new("POST PUT", path, "admin", summary, parameters, answer)
}

const DATA: &[Operation] = &[
    Operation::new(
        "POST",
        "/api/v1/write",
        "data",
        "Store samples: remote write 1.0 and 2.0, packed with snappy",
        &[],
        Answer::Nothing,
    )
    .taking(PROTOBUF),
    Operation::new(
        "POST",
        "/api/v1/read",
        "data",
        "Read samples: remote read, packed with snappy",
        &[],
        Answer::Bytes("application/x-protobuf"),
    )
    .taking(PROTOBUF),
    Operation::new(
        "GET",
        "/federate",
        "data",
        "Give the newest samples of series in the text format",
        &[MATCH],
        Answer::Text("text/plain"),
    ),
    admin(
        "/api/v1/admin/tsdb/delete_series",
        "Delete samples of series",
        &[MATCH.required(), START, END],
        Answer::Nothing,
    ),
    admin(
        "/api/v1/admin/tsdb/clean_tombstones",
        "Take deleted samples out of the files",
        &[],
        Answer::Nothing,
    ),
    admin(
        "/api/v1/admin/tsdb/snapshot",
        "Copy the database while it is written to",
        &[Parameter::new("skip_head", Kind::Truth, "Leave out what is in memory only")],
        Answer::Data("object"),
    ),
    Operation::new(
        "POST",
        "/api/swell/v1/tsdb/adopt",
        "admin",
        "Take in a block that an import made in a folder inside the data directory",
        &[
            Parameter::new("folder", Kind::Text, "Name of the folder in tsdb/incoming").required(),
            Parameter::new("block", Kind::Text, "Name of the block's file, as 00000001.blk")
                .required(),
        ],
        Answer::Data("object"),
    ),
    Operation::new(
        "POST",
        "/api/swell/v1/damage/acknowledge",
        "admin",
        "Acknowledge damage: answers that it touches carry no warning any more",
        &[
            Parameter::new("file", Kind::Texts, "Files whose damage is meant, as they are listed"),
            Parameter::new("all", Kind::Truth, "All damage that is known now"),
        ],
        Answer::Data("object"),
    ),
];

#[cfg(feature = "archive")]
const ARCHIVE: &[Operation] = &[Operation::new(
    "GET POST",
    "/api/swell/v1/arrow",
    "data",
    "Stream raw samples as Arrow record batches",
    &[
        MATCH.required(),
        START,
        END,
        Parameter::new("samples", Kind::OneOf(&["floats", "histograms"]), "Which samples"),
    ],
    Answer::Bytes("application/vnd.apache.arrow.stream"),
)];
#[cfg(not(feature = "archive"))]
const ARCHIVE: &[Operation] = &[];

const fn server(methods: &'static str, path: &'static str, summary: &'static str) -> Operation {
    Operation::new(methods, path, "server", summary, &[], Answer::Text("text/plain"))
}

const SERVER: &[Operation] = &[
    server("GET", "/metrics", "Give the server's own metrics as text, OpenMetrics or protobuf"),
    Operation { answer: Answer::Json("object"), ..server("GET", "/version", "Tell versions") },
    server("GET", "/-/healthy", "Tell whether the server is well"),
    server("GET", "/-/ready", "Tell whether the server answers"),
    server("POST PUT", "/-/reload", "Read the configuration again"),
    server("POST PUT", "/-/quit", "Stop the server"),
];

/// Operations of [`crate::router`] and [`crate::write_router`].
#[must_use]
pub fn operations() -> Vec<Operation> {
    [QUERIES, EXPLAIN, TARGETS, STATUS, DATA, ARCHIVE, SERVER].concat()
}
