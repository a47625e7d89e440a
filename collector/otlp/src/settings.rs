//! What of the translation can be chosen: the keys of `otlp:` in Prometheus' configuration.

use std::collections::BTreeSet;

use crate::names::LabelRules;

/// How names are translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Classic characters, unit and type as suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Classic characters alone.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are, unit and type as suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::UnderscoreEscapingWithSuffixes,
        Self::UnderscoreEscapingWithoutSuffixes,
        Self::NoUtf8EscapingWithSuffixes,
        Self::NoTranslation,
    ];

    /// Its name in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::NoTranslation => "NoTranslation",
        }
    }

    /// Whether names keep classic characters only.
    #[must_use]
    pub const fn escapes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes
        )
    }

    /// Whether unit and type become suffixes.
    #[must_use]
    pub const fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// Which attributes of a resource become labels of all its series; they do where the point has none of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// These.
    Only(BTreeSet<String>),
    /// All but these.
    AllBut(BTreeSet<String>),
}

impl Promotion {
    pub(crate) fn takes(&self, attribute: &str) -> bool {
        match self {
            Self::Only(names) => names.contains(attribute),
            Self::AllBut(names) => !names.contains(attribute),
        }
    }
}

/// What becomes of points whose values count from the one before on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deltas {
    /// They are refused.
    #[default]
    Refused,
    /// They are summed up, and the sums stored (Prometheus' feature `otlp-deltatocumulative`).
    SummedUp,
    /// They are stored as they are, of unknown type and without a start (`otlp-native-delta-ingestion`).
    AsTheyAre,
}

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How names are translated.
    pub strategy: Strategy,
    /// Attributes of resources that become labels.
    pub promotion: Promotion,
    /// Whether `target_info` has those attributes too that `job` and `instance` are made of.
    pub keep_identifying: bool,
    /// Whether histograms with listed bounds become native ones with custom bounds.
    pub nhcb: bool,
    /// Whether series are labelled with the library that measured.
    pub promote_scope: bool,
    /// Whether labels that start with one underscore get `key` in front.
    pub key_before_underscore: bool,
    /// Whether underscores in a row stay.
    pub keeps_underscores: bool,
    /// Distance of the samples of `target_info` where a request spans more, in milliseconds: half of what a query looks
    /// back.
    pub target_info_interval_ms: i64,
    /// Whether series are labelled with the type and the unit of their metric, as `__type__` and `__unit__`
    /// (Prometheus' feature `type-and-unit-labels`).
    pub type_and_unit_labels: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            promotion: Promotion::Only(BTreeSet::new()),
            keep_identifying: false,
            nhcb: false,
            promote_scope: false,
            key_before_underscore: true,
            keeps_underscores: true,
            target_info_interval_ms: 150_000,
            type_and_unit_labels: false,
        }
    }
}

impl Settings {
    pub(crate) const fn label_rules(&self) -> LabelRules {
        LabelRules {
            is_utf8: !self.strategy.escapes(),
            key_before_underscore: self.key_before_underscore,
            keeps_underscores: self.keeps_underscores,
        }
    }
}
