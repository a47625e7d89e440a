//! What can be wrong with a line.

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line starts with what no entry starts with.
    #[error("a metric name, `{{` or `#` expected")]
    Start,
    /// OpenMetrics: a comment that is none of HELP, TYPE, UNIT, EOF.
    #[error("HELP, TYPE, UNIT or EOF expected after `# `")]
    Comment,
    /// A metadata line without a family.
    #[error("a metric name expected after {0}")]
    FamilyName(&'static str),
    /// OpenMetrics: a metadata line without text.
    #[error("a text expected in {0}")]
    MetadataText(&'static str),
    /// The word after the family is no kind of metric.
    #[error("unknown metric type {0:?}")]
    Kind(String),
    /// OpenMetrics: the family's name does not end in its unit.
    #[error("unit {unit:?} is not the suffix of {family:?}")]
    Unit {
        /// As given.
        unit: String,
        /// The family.
        family: String,
    },
    /// No label name where one is due.
    #[error("a label name expected")]
    LabelName,
    /// No `=` after a label name.
    #[error("`=` expected after a label name")]
    Equals,
    /// No closed, quoted value after `=`.
    #[error("a label value in quotes expected")]
    LabelValue,
    /// OpenMetrics: two labels without a comma.
    #[error("`,` or `}}` expected after a label value")]
    Comma,
    /// The metric has two names.
    #[error("the metric name is given twice")]
    NameTwice,
    /// The metric has no name.
    #[error("the metric name is missing")]
    NameMissing,
    /// Bytes that are no text.
    #[error("not UTF-8")]
    Utf8,
    /// No value after the series.
    #[error("a value expected")]
    Value,
    /// A number that cannot be read.
    #[error("{0:?} is not a number")]
    Number(String),
    /// A timestamp that cannot be read.
    #[error("{0:?} is not a timestamp")]
    Timestamp(String),
    /// Something after the last part of a line.
    #[error("a timestamp or the end of the line expected")]
    EndOfLine,
    /// OpenMetrics: the body stops before `# EOF`.
    #[error("no `# EOF` at the end: the body is cut off")]
    EofMissing,
    /// OpenMetrics: the body goes on after `# EOF`.
    #[error("data after `# EOF`")]
    AfterEof,
}

/// A fault with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct LineError {
    /// Number of the line on which the fault was met, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}
