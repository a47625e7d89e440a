//! Diagnostics on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is no list of directives.
    #[error("log filter {filter:?} is not a list such as \"info,swell_scrape=debug\"")]
    Filter {
        /// Text as given.
        filter: String,
        /// Where it fails.
        #[source]
        source: ParseError,
    },
    /// A log was set up before.
    #[error("the log is set up already")]
    AlreadySet,
}

/// Sends spans and events of the whole process to standard error. `filter` is in the syntax of
/// `tracing_subscriber::EnvFilter`: `info,swell_scrape=debug`. Call once, from the composition root.
///
/// # Errors
/// [`LoggingError`].
pub fn init_logging(filter: &str, format: LogFormat) -> Result<(), LoggingError> {
    let parsed = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|_| LoggingError::AlreadySet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named() {
        let error = init_logging("info,=x=y", LogFormat::Text).expect_err("no directive");
        assert!(error.to_string().contains("info,=x=y"), "{error}");
    }
}
