//! One relabel rule: what it may say, and what it does.

use md5::{Digest as _, Md5};
use regex::Regex;
use swell_model::{LabelsBuilder, anchored_regex, expand, replace_all};

/// Between the values of a rule's labels, unless given.
pub const SEPARATOR: &str = ";";
/// What a rule matches, unless given.
pub const PATTERN: &str = "(.*)";
/// What a rule sets, unless given.
pub const REPLACEMENT: &str = "$1";

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Sets `target_label` to the expanded replacement where the joined value matches.
    #[default]
    Replace,
    /// Keeps labels whose joined value matches.
    Keep,
    /// Drops labels whose joined value matches.
    Drop,
    /// Keeps labels whose joined value equals that of `target_label`.
    KeepEqual,
    /// Drops labels whose joined value equals that of `target_label`.
    DropEqual,
    /// Sets `target_label` to a hash of the joined value, modulo `modulus`.
    HashMod,
    /// Copies labels whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets `target_label` to the joined value in lower case.
    Lowercase,
    /// Sets `target_label` to the joined value in upper case.
    Uppercase,
}

impl Action {
    /// The configuration's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    /// Reads the configuration's word, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "replace" => Self::Replace,
            "keep" => Self::Keep,
            "drop" => Self::Drop,
            "keepequal" => Self::KeepEqual,
            "dropequal" => Self::DropEqual,
            "hashmod" => Self::HashMod,
            "labelmap" => Self::LabelMap,
            "labeldrop" => Self::LabelDrop,
            "labelkeep" => Self::LabelKeep,
            "lowercase" => Self::Lowercase,
            "uppercase" => Self::Uppercase,
            _ => return None,
        })
    }
}

/// A rule as written; what is absent has Prometheus' default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// Labels whose values are joined.
    pub source_labels: Option<Vec<String>>,
    /// Between the values; `;` unless given.
    pub separator: Option<String>,
    /// Anchored pattern; `(.*)` unless given.
    pub regex: Option<String>,
    /// For [`Action::HashMod`].
    pub modulus: Option<u64>,
    /// Label that is set; may hold `$1` for [`Action::Replace`].
    pub target_label: Option<String>,
    /// What it is set to; `$1` unless given.
    pub replacement: Option<String>,
    /// What to do.
    pub action: Action,
}

/// Why a rule makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The pattern does not compile.
    #[error("relabel rule: {pattern:?} is not a regular expression: {message}")]
    Pattern {
        /// As given.
        pattern: String,
        /// What the parser says.
        message: String,
    },
    /// A field is missing for the action.
    #[error("relabel rule: action {action:?} needs {field}")]
    Missing {
        /// The action.
        action: Action,
        /// The field.
        field: &'static str,
    },
    /// A field that has no meaning for the action differs from its default.
    #[error("relabel rule: action {action:?} takes no {field}")]
    Superfluous {
        /// The action.
        action: Action,
        /// The field.
        field: &'static str,
    },
    /// A modulus of zero.
    #[error("relabel rule: modulus must be above 0")]
    Modulus,
}

/// A checked rule.
#[derive(Clone, Debug)]
pub struct Rule {
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    /// As written, without the anchors.
    regex: String,
    pattern: Regex,
    modulus: u64,
    target_label: String,
    replacement: String,
}

impl Rule {
    /// Checks a rule.
    ///
    /// # Errors
    /// [`RuleError`] when a field is missing, superfluous or wrong.
    pub fn new(spec: RuleSpec) -> Result<Self, RuleError> {
        let action = spec.action;
        let missing = |field| RuleError::Missing { action, field };
        let superfluous = |field| RuleError::Superfluous { action, field };
        let target = spec.target_label.clone().unwrap_or_default();
        match action {
            Action::Replace
            | Action::HashMod
            | Action::Lowercase
            | Action::Uppercase
            | Action::KeepEqual
            | Action::DropEqual
                if target.is_empty() =>
            {
                return Err(missing("target_label"));
            }
            Action::HashMod if spec.modulus.is_none() => return Err(missing("modulus")),
            Action::HashMod if spec.modulus == Some(0) => return Err(RuleError::Modulus),
            Action::LabelDrop | Action::LabelKeep => {
                for (field, is_other) in [
                    ("source_labels", spec.source_labels.as_ref().is_some_and(|it| !it.is_empty())),
                    ("target_label", !target.is_empty()),
                    ("modulus", spec.modulus.is_some_and(|it| it != 0)),
                    ("separator", differs(spec.separator.as_deref(), SEPARATOR)),
                    ("replacement", differs(spec.replacement.as_deref(), REPLACEMENT)),
                ] {
                    if is_other {
                        return Err(superfluous(field));
                    }
                }
            }
            Action::KeepEqual | Action::DropEqual => {
                for (field, is_other) in [
                    ("regex", differs(spec.regex.as_deref(), PATTERN)),
                    ("modulus", spec.modulus.is_some_and(|it| it != 0)),
                    ("separator", differs(spec.separator.as_deref(), SEPARATOR)),
                    ("replacement", differs(spec.replacement.as_deref(), REPLACEMENT)),
                ] {
                    if is_other {
                        return Err(superfluous(field));
                    }
                }
            }
            _ => {}
        }
        let text = spec.regex.unwrap_or_else(|| PATTERN.to_owned());
        let pattern = anchored_regex(&text).map_err(|error| RuleError::Pattern {
            pattern: text.clone(),
            message: error.to_string(),
        })?;
        Ok(Self {
            action,
            source_labels: spec.source_labels.unwrap_or_default(),
            separator: spec.separator.unwrap_or_else(|| SEPARATOR.to_owned()),
            regex: text,
            pattern,
            modulus: spec.modulus.filter(|it| *it > 0).unwrap_or(1),
            target_label: target,
            replacement: spec.replacement.unwrap_or_else(|| REPLACEMENT.to_owned()),
        })
    }

    /// The rule as it could be written, with the defaults that it has.
    #[must_use]
    pub fn spec(&self) -> RuleSpec {
        let modulus = (self.action == Action::HashMod).then_some(self.modulus);
        RuleSpec {
            source_labels: Some(self.source_labels.clone()),
            separator: Some(self.separator.clone()),
            regex: Some(self.regex.clone()),
            modulus,
            target_label: Some(self.target_label.clone()),
            replacement: Some(self.replacement.clone()),
            action: self.action,
        }
    }

    /// Applies the rule; `false` when it dropped the labels.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let value = self.joined(labels);
        match self.action {
            Action::Keep => return self.pattern.is_match(&value),
            Action::Drop => return !self.pattern.is_match(&value),
            Action::KeepEqual => return labels.get(&self.target_label).unwrap_or("") == value,
            Action::DropEqual => return labels.get(&self.target_label).unwrap_or("") != value,
            Action::Replace => self.replace(&value, labels),
            Action::HashMod => {
                let hash = md5_tail(value.as_bytes()) % self.modulus;
                labels.set(&self.target_label, &hash.to_string());
            }
            Action::Lowercase => {
                labels.set(&self.target_label, &value.to_lowercase());
            }
            Action::Uppercase => {
                labels.set(&self.target_label, &value.to_uppercase());
            }
            Action::LabelMap => {
                let copies: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(name, _)| self.pattern.is_match(name))
                    .map(|(name, value)| {
                        let new_name = replace_all(&self.pattern, name, &self.replacement);
                        (new_name.into_owned(), value.to_owned())
                    })
                    .collect();
                for (name, value) in copies {
                    labels.set(&name, &value);
                }
            }
            Action::LabelDrop => self.remove_names(labels, true),
            Action::LabelKeep => self.remove_names(labels, false),
        }
        true
    }

    fn joined(&self, labels: &LabelsBuilder) -> String {
        let mut value = String::new();
        for (idx, name) in self.source_labels.iter().enumerate() {
            if idx > 0 {
                value.push_str(&self.separator);
            }
            value.push_str(labels.get(name).unwrap_or(""));
        }
        value
    }

    fn replace(&self, value: &str, labels: &mut LabelsBuilder) {
        let Some(captures) = self.pattern.captures(value) else { return };
        let target = expand(&captures, &self.target_label);
        if !is_label_name(&target) {
            return;
        }
        labels.set(&target, &expand(&captures, &self.replacement));
    }

    fn remove_names(&self, labels: &mut LabelsBuilder, matching: bool) {
        let doomed: Vec<String> = labels
            .iter()
            .filter(|(name, _)| self.pattern.is_match(name) == matching)
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in doomed {
            labels.remove(&name);
        }
    }
}

/// Whether a field says something else than its default.
fn differs(given: Option<&str>, default: &str) -> bool {
    given.is_some_and(|it| it != default)
}

/// A UTF-8 label name is anything but empty (Prometheus 3's default scheme).
fn is_label_name(name: &str) -> bool {
    !name.is_empty()
}

/// The last eight bytes of the MD5 digest as a big-endian number: `hashmod` is defined by them, so that shards of
/// several servers agree.
fn md5_tail(input: &[u8]) -> u64 {
    let digest = Md5::digest(input);
    let tail: [u8; 8] = digest[8..16].try_into().expect("a digest has sixteen bytes");
    u64::from_be_bytes(tail)
}
