//! Why an evaluation failed.

use swell_model::SelectError;
use swell_promql_syntax::Span;

/// A query that parsed but could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The expression cannot be evaluated on this data or with these arguments: the author must change it.
    #[error("{message}")]
    Query {
        /// The bare message, as Prometheus words it.
        message: String,
        /// The expression concerned, where known.
        span: Option<Span>,
    },
    /// The expression uses a part of the language that is switched off.
    #[error("{what} is not enabled")]
    FeatureDisabled {
        /// Which part.
        what: String,
        /// Where.
        span: Span,
    },
    /// A duration in the expression comes to nothing that it could be.
    #[error("{}:{}: {message}", .span.start, .span.end)]
    Duration {
        /// What is wrong with it, as Prometheus words it.
        message: String,
        /// Where it stands.
        span: Span,
    },
    /// More samples than the budget allows.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples {
        /// The limit.
        samples_max: usize,
    },
    /// More series than the budget allows.
    #[error(
        "the query selects more than {series_max} series: name labels that leave fewer, or raise the limit on series"
    )]
    TooManySeries {
        /// The limit.
        series_max: usize,
    },
    /// More memory than the budget allows.
    #[error(
        "the query needs more than {bytes_max} bytes of memory: ask for fewer series, less time or wider steps, or raise the limit on memory"
    )]
    TooManyBytes {
        /// The limit.
        bytes_max: usize,
    },
    /// More steps than the budget allows.
    #[error(
        "exceeded maximum resolution of {steps_max} points per timeseries. Try decreasing the query resolution (?step=XX)"
    )]
    TooManySteps {
        /// The limit.
        steps_max: usize,
    },
    /// Start, end or step make no range.
    #[error("{0}")]
    BadRange(&'static str),
    /// The budget's flag was set.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// The storage could not be read.
    #[error("read samples")]
    Select(#[from] SelectError),
}

impl EvalError {
    pub(crate) fn query(span: Span, message: impl Into<String>) -> Self {
        Self::Query { message: message.into(), span: Some(span) }
    }
}
