//! Formats by their names in the configuration, and how they are asked for.

use std::fmt::Write as _;

use swell_exposition::{BodyFormat, Format};

use crate::config::ScrapeConfig;

/// Tenths that the dearest format weighs.
const WEIGHT_MAX: usize = ScrapeProtocol::ALL.len() + 1;

/// A format by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeProtocol {
    /// `PrometheusProto`
    Protobuf,
    /// `PrometheusText0.0.4`
    Text0,
    /// `PrometheusText1.0.0`
    Text1,
    /// `OpenMetricsText0.0.1`
    OpenMetrics0,
    /// `OpenMetricsText1.0.0`
    OpenMetrics1,
}

impl ScrapeProtocol {
    /// All, in the order in which they are asked for unless the configuration says otherwise; protobuf only where native
    /// histograms are taken.
    pub const ALL: [Self; 5] =
        [Self::Protobuf, Self::OpenMetrics1, Self::OpenMetrics0, Self::Text1, Self::Text0];

    /// Those that are asked for unless the configuration says otherwise, the dearest first; `native` where native histograms
    /// are taken.
    #[must_use]
    pub fn standard(native: bool) -> &'static [Self] {
        let all: &'static [Self] = &Self::ALL;
        if native { all } else { &all[1..] }
    }

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Protobuf => "PrometheusProto",
            Self::Text0 => "PrometheusText0.0.4",
            Self::Text1 => "PrometheusText1.0.0",
            Self::OpenMetrics0 => "OpenMetricsText0.0.1",
            Self::OpenMetrics1 => "OpenMetricsText1.0.0",
        }
    }

    /// Without how names are to be written; whether they may be in more than one way.
    const fn media_type(self) -> (&'static str, bool) {
        match self {
            Self::Protobuf => (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                false,
            ),
            Self::Text0 => ("text/plain;version=0.0.4", false),
            Self::Text1 => ("text/plain;version=1.0.0", true),
            Self::OpenMetrics0 => ("application/openmetrics-text;version=0.0.1", false),
            Self::OpenMetrics1 => ("application/openmetrics-text;version=1.0.0", true),
        }
    }

    pub(crate) const fn format(self) -> BodyFormat {
        match self {
            Self::Protobuf => BodyFormat::Protobuf,
            Self::Text0 | Self::Text1 => BodyFormat::Text(Format::Text),
            Self::OpenMetrics0 | Self::OpenMetrics1 => BodyFormat::Text(Format::OpenMetrics),
        }
    }
}

/// The `Accept` header for targets of a job: its formats with falling weight, as upstream asks. Where the job has the usual
/// ones, those that are usual for the target, of which native histograms are taken or not.
pub(crate) fn accept(config: &ScrapeConfig, native: bool) -> String {
    let protocols = config.protocols.as_slice();
    let of_job = ScrapeProtocol::standard(config.histograms.native);
    let is_usual = protocols.is_empty() || protocols == of_job;
    let wanted = if is_usual { ScrapeProtocol::standard(native) } else { protocols };
    let mut accept = String::new();
    for (idx, protocol) in wanted.iter().enumerate() {
        let weight = WEIGHT_MAX.saturating_sub(idx).max(1);
        let (media_type, has_escaping) = protocol.media_type();
        accept.push_str(media_type);
        if has_escaping {
            write!(accept, ";escaping={}", config.names.escaping.name()).expect("strings take all");
        }
        write!(accept, ";q=0.{weight},").expect("strings take all");
    }
    let rest = WEIGHT_MAX.saturating_sub(wanted.len()).max(1);
    accept + &format!("*/*;q=0.{rest}")
}

#[cfg(test)]
mod tests {
    use swell_model::DurationMs;

    use super::*;
    use crate::config::Escaping;

    #[test]
    fn formats_are_asked_for_with_falling_weight() {
        let second = DurationMs::from_secs(1);
        let mut config = ScrapeConfig::new("job", second, second);
        assert_eq!(
            accept(&config, false),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert!(accept(&config, true).starts_with("application/vnd.google.protobuf"));
        config.protocols = ScrapeProtocol::standard(false).to_vec();
        assert!(accept(&config, true).starts_with("application/vnd.google.protobuf"));
        config.histograms.native = true;
        assert!(accept(&config, true).starts_with("application/openmetrics-text"), "as configured");
        config.protocols.clear();
        assert!(accept(&config, true).starts_with("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text"));
        assert!(accept(&config, true).ends_with("text/plain;version=0.0.4;q=0.2,*/*;q=0.1"));
        config.protocols = vec![ScrapeProtocol::Text0];
        assert_eq!(accept(&config, true), "text/plain;version=0.0.4;q=0.6,*/*;q=0.5");
        config.protocols = vec![ScrapeProtocol::Text1];
        config.names.escaping = Escaping::Dots;
        assert_eq!(
            accept(&config, false),
            "text/plain;version=1.0.0;escaping=dots;q=0.6,*/*;q=0.5"
        );
    }
}
