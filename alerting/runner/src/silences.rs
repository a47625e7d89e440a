//! Silences as the API and their file have them, and the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use swell_env::Dir;
use swell_model::{MatchOp, Matcher, TimestampMs};
use swell_route::{
    SILENCE_MATCHERS_MAX, SILENCE_PATTERN_BYTES_MAX, Silence, SilenceDraft, Silences,
};

use crate::http::rfc3339;
use crate::state_file::{self, StateFileError};

pub(crate) const FILE: &str = "silences";
pub(crate) const MAGIC: &str = "SWELLSILENCES";
/// Bytes of all silences as they are kept: what each change writes, and each start reads.
pub(crate) const BYTES_MAX: usize = 16 << 20;

/// A matcher, in the form of Alertmanager's API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MatcherJson {
    name: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

/// A silence as it is posted and kept; unknown keys are other versions' business.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SilenceJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default)]
    matchers: Vec<MatcherJson>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl MatcherJson {
    fn of(matcher: &Matcher) -> Self {
        Self {
            name: matcher.name.clone(),
            value: matcher.value.clone(),
            is_regex: matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex),
            is_equal: matches!(matcher.op, MatchOp::Equal | MatchOp::Regex),
        }
    }

    fn check(self) -> Result<Matcher, String> {
        let op = match (self.is_regex, self.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        if self.name.is_empty() {
            return Err("a matcher has no name".to_owned());
        }
        let name = self.name.clone();
        Matcher::new(self.name, op, self.value)
            .map_err(|error| format!("matcher {name:?}: {error}"))
    }
}

impl SilenceJson {
    /// A silence as it is kept.
    fn of(silence: &Silence) -> Self {
        let draft = &silence.draft;
        Self {
            id: Some(silence.id.clone()),
            matchers: draft.matchers.iter().map(MatcherJson::of).collect(),
            starts_at: Some(rfc3339(Some(draft.starts_at))),
            ends_at: Some(rfc3339(Some(draft.ends_at))),
            created_by: draft.created_by.clone(),
            comment: draft.comment.clone(),
            annotations: draft.annotations.clone(),
            updated_at: Some(rfc3339(Some(silence.updated_at))),
        }
    }

    /// What is asked for; without a start, from `now` on.
    pub(crate) fn draft(self, now: TimestampMs) -> Result<SilenceDraft, String> {
        let count = self.matchers.len();
        if count > SILENCE_MATCHERS_MAX {
            return Err(format!("{count} matchers: at most {SILENCE_MATCHERS_MAX} are taken"));
        }
        let patterns = self.matchers.iter().filter(|it| it.is_regex);
        let bytes: usize = patterns.map(|it| it.value.len()).sum();
        if bytes > SILENCE_PATTERN_BYTES_MAX {
            return Err(format!(
                "patterns of {bytes} bytes: at most {SILENCE_PATTERN_BYTES_MAX} are taken"
            ));
        }
        let matchers: Result<Vec<Matcher>, String> =
            self.matchers.into_iter().map(MatcherJson::check).collect();
        Ok(SilenceDraft {
            id: self.id,
            matchers: matchers?,
            starts_at: time("startsAt", self.starts_at.as_deref())?.unwrap_or(now),
            ends_at: time("endsAt", self.ends_at.as_deref())?.ok_or("endsAt is missing")?,
            created_by: self.created_by,
            comment: self.comment,
            annotations: self.annotations,
        })
    }

    fn restored(self) -> Result<Silence, String> {
        let updated_at = time("updatedAt", self.updated_at.as_deref())?.unwrap_or(TimestampMs(0));
        let id = self.id.clone().ok_or("a silence has no id")?;
        let draft = SilenceDraft { id: None, ..self.draft(TimestampMs(0))? };
        Ok(Silence { id, draft, updated_at })
    }
}

/// RFC 3339; Go's zero time stands for no time.
fn time(key: &str, text: Option<&str>) -> Result<Option<TimestampMs>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let parsed = parsed.map_err(|error| format!("{key} {text:?} is no RFC 3339 time: {error}"))?;
    Ok(Some(TimestampMs(parsed.as_millisecond())).filter(|at| at.0 > 0))
}

/// A silence as the API shows it.
pub(crate) fn shown(silence: &Silence, now: TimestampMs) -> Value {
    let mut shown = json!(SilenceJson::of(silence));
    shown["status"] = json!({"state": silence.state(now).as_str()});
    shown
}

/// The file's payload.
pub(crate) fn encode(silences: &Silences) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&silences.iter().map(SilenceJson::of).collect::<Vec<_>>())
}

/// The silences of an earlier run.
pub(crate) fn read(dir: &dyn Dir) -> Result<Silences, StateFileError> {
    let Some(payload) = state_file::read(dir, FILE, MAGIC)? else { return Ok(Silences::default()) };
    let damaged =
        |why: String| StateFileError::Damaged { file: format!("{}/{FILE}", dir.location()), why };
    let kept: Vec<SilenceJson> =
        serde_json::from_slice(&payload).map_err(|error| damaged(error.to_string()))?;
    let silences: Result<Vec<Silence>, String> =
        kept.into_iter().map(SilenceJson::restored).collect();
    Ok(Silences::of(silences.map_err(damaged)?))
}

/// A name for a new silence: a UUID of version 4 out of 128 random bits.
pub(crate) fn uuid(high: u64, low: u64) -> String {
    let version = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
    let variant = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        (version >> 16) & 0xffff,
        version & 0xffff,
        variant >> 48,
        variant & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use swell_env::MemDir;

    use super::*;

    fn posted(text: &str) -> Result<SilenceDraft, String> {
        let json: SilenceJson = serde_json::from_str(text).map_err(|error| error.to_string())?;
        json.draft(TimestampMs(1_700_000_000_000))
    }

    #[test]
    fn silences_survive_their_file() {
        let draft = posted(
            r#"{"matchers": [{"name": "a", "value": "b"}, {"name": "c", "value": "d.*", "isRegex": true, "isEqual": false}],
                "endsAt": "2023-11-15T00:00:00.250Z", "createdBy": "me", "comment": "c", "annotations": {"k": "v"}, "later": 1}"#,
        )
        .expect("valid");
        assert_eq!(draft.starts_at, TimestampMs(1_700_000_000_000));
        assert_eq!(draft.matchers[1].op, MatchOp::NotRegex);
        let mut silences = Silences::default();
        silences.put(draft, TimestampMs(1_700_000_000_000), uuid(1, 2)).expect("taken");
        let dir = MemDir::new();
        let payload = encode(&silences).expect("encoded");
        state_file::write(&dir, FILE, MAGIC, &payload).expect("written");
        let read = read(&dir).expect("readable");
        let (one, other) = (silences.iter().next(), read.iter().next());
        let (one, other) = (one.expect("one"), other.expect("one"));
        assert_eq!(shown(one, TimestampMs(0)), shown(other, TimestampMs(0)));
        assert_eq!(shown(one, TimestampMs(0))["status"]["state"], "pending");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (text, part) in [
            (
                r#"{"matchers": [], "startsAt": "soon", "endsAt": "2023-11-15T00:00:00Z"}"#,
                "startsAt",
            ),
            (r#"{"matchers": [{"name": "a", "value": "b"}]}"#, "endsAt"),
            (
                r#"{"matchers": [{"name": "a", "value": "(", "isRegex": true}], "endsAt": "2023-11-15T00:00:00Z"}"#,
                "\"a\"",
            ),
            (
                r#"{"matchers": [{"name": "", "value": "b"}], "endsAt": "2023-11-15T00:00:00Z"}"#,
                "name",
            ),
        ] {
            let fault = posted(text).expect_err("refused");
            assert!(fault.contains(part), "{fault}");
        }
    }

    #[test]
    fn many_matchers_and_long_patterns_are_refused_before_they_are_compiled() {
        let asked = |matchers: Vec<Value>| {
            let asked = json!({"matchers": matchers, "endsAt": "2023-11-15T00:00:00Z"});
            posted(&asked.to_string())
        };
        let one = |value: &str| json!({"name": "a", "value": value, "isRegex": true});
        let fault = asked(vec![one("x"); 65]).expect_err("too many");
        assert!(fault.contains("65 matchers"), "{fault}");
        let fault = asked(vec![one(&"x".repeat(5_000)); 2]).expect_err("too long");
        assert!(fault.contains("10000 bytes"), "{fault}");
        asked(vec![one("x"); 64]).expect("as many as may be");
    }

    #[test]
    fn names_are_uuids_of_version_4() {
        let name = uuid(u64::MAX, u64::MAX);
        assert_eq!(name, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0, 0), "00000000-0000-4000-8000-000000000000");
    }
}
