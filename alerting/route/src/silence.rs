//! Silences: which alerts people have muted for a while (Alertmanager 0.34, `silence`).

use std::collections::BTreeMap;

use swell_model::{DurationMs, Labels, Matcher, TimestampMs};

use crate::matchers::matches_all;

/// Silences that are kept at most, expired ones included.
const COUNT_MAX: usize = 10_000;
/// Bytes of all texts of one silence.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Matchers of one silence, to be looked at before their patterns are compiled.
pub const SILENCE_MATCHERS_MAX: usize = 64;
/// Bytes of all its patterns, likewise.
pub const SILENCE_PATTERN_BYTES_MAX: usize = 8 << 10;

/// Where a silence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SilenceState {
    /// It mutes.
    Active,
    /// It will.
    Pending,
    /// It did.
    Expired,
}

impl SilenceState {
    /// As the API has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceDraft {
    /// The silence to change; a new one without.
    pub id: Option<String>,
    /// Which alerts: all have to hold.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub starts_at: TimestampMs,
    /// Until when.
    pub ends_at: TimestampMs,
    /// Who asks.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Further remarks.
    pub annotations: BTreeMap<String, String>,
}

/// A silence.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    /// Its name, a UUID.
    pub id: String,
    /// What was asked for; its `id` is of no meaning here.
    pub draft: SilenceDraft,
    /// When it was changed last.
    pub updated_at: TimestampMs,
}

impl Silence {
    /// Where it stands.
    #[must_use]
    pub fn state(&self, now: TimestampMs) -> SilenceState {
        if now >= self.draft.ends_at {
            SilenceState::Expired
        } else if now < self.draft.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    fn mutes(&self, labels: &Labels, now: TimestampMs) -> bool {
        self.state(now) == SilenceState::Active && matches_all(&self.draft.matchers, labels)
    }
}

/// Why a silence is not taken, or not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceFault {
    /// There is none of this name.
    #[error("silence {0} not found")]
    NotFound(String),
    /// What is asked for makes no silence.
    #[error("invalid silence: {0}")]
    Invalid(String),
    /// There are too many.
    #[error("{COUNT_MAX} silences are active or pending already: end some first")]
    TooMany,
}

/// All silences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Silences {
    by_id: BTreeMap<String, Silence>,
}

impl Silences {
    /// These silences.
    #[must_use]
    pub fn of(silences: impl IntoIterator<Item = Silence>) -> Self {
        Self { by_id: silences.into_iter().map(|it| (it.id.clone(), it)).collect() }
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.by_id.values()
    }

    /// One.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Silence> {
        self.by_id.get(id)
    }

    /// Names of the silences that mute an alert with these labels.
    #[must_use]
    pub fn muting(&self, labels: &Labels, now: TimestampMs) -> Vec<String> {
        let muting = self.by_id.values().filter(|silence| silence.mutes(labels, now));
        muting.map(|silence| silence.id.clone()).collect()
    }

    /// Takes a new silence, or changes one; gives its name. What cannot be changed in place (other matchers, or an active
    /// silence that would begin at another time) ends, and a new silence named `fresh_id` stands in its place.
    ///
    /// # Errors
    /// [`SilenceFault`]; nothing has changed then.
    pub fn put(
        &mut self,
        mut draft: SilenceDraft,
        now: TimestampMs,
        fresh_id: String,
    ) -> Result<String, SilenceFault> {
        check(&draft, now)?;
        let given = draft.id.take().filter(|id| !id.is_empty());
        let known = match &given {
            Some(id) => Some(self.get(id).ok_or_else(|| SilenceFault::NotFound(id.clone()))?),
            None => None,
        };
        if let Some(known) = known.filter(|known| changes_in_place(known, &draft, now)) {
            let id = known.id.clone();
            self.by_id.insert(id.clone(), Silence { id: id.clone(), draft, updated_at: now });
            return Ok(id);
        }
        let known = known.map(|known| known.id.clone());
        self.make_room(now)?;
        if let Some(known) = known {
            match self.expire(&known, now) {
                // One that is over already stays as it is, or was forgotten for this one.
                Ok(()) | Err(SilenceFault::Invalid(_) | SilenceFault::NotFound(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        draft.starts_at = draft.starts_at.max(now);
        self.by_id
            .insert(fresh_id.clone(), Silence { id: fresh_id.clone(), draft, updated_at: now });
        Ok(fresh_id)
    }

    /// Forgets the one that has been over for longest, where there are as many as may be.
    fn make_room(&mut self, now: TimestampMs) -> Result<(), SilenceFault> {
        if self.by_id.len() < COUNT_MAX {
            return Ok(());
        }
        let over = self.by_id.values().filter(|it| it.state(now) == SilenceState::Expired);
        let oldest = over.min_by_key(|it| it.draft.ends_at).map(|it| it.id.clone());
        self.by_id.remove(&oldest.ok_or(SilenceFault::TooMany)?);
        Ok(())
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// When there is none of this name, or it is over.
    pub fn expire(&mut self, id: &str, now: TimestampMs) -> Result<(), SilenceFault> {
        let silence =
            self.by_id.get_mut(id).ok_or_else(|| SilenceFault::NotFound(id.to_owned()))?;
        match silence.state(now) {
            SilenceState::Expired => {
                return Err(SilenceFault::Invalid(format!("silence {id} already expired")));
            }
            SilenceState::Active => silence.draft.ends_at = now,
            SilenceState::Pending => {
                silence.draft.starts_at = now;
                silence.draft.ends_at = now;
            }
        }
        silence.updated_at = now;
        Ok(())
    }

    /// Forgets silences that have been over for so long; tells whether there were any.
    pub fn forget(&mut self, now: TimestampMs, retention: DurationMs) -> bool {
        let before = self.by_id.len();
        self.by_id.retain(|_, silence| now.since(silence.draft.ends_at) < retention);
        self.by_id.len() < before
    }
}

fn check(draft: &SilenceDraft, now: TimestampMs) -> Result<(), SilenceFault> {
    let invalid = |what: &str| Err(SilenceFault::Invalid(what.to_owned()));
    if draft.matchers.is_empty() {
        return invalid("at least one matcher required");
    }
    if draft.matchers.iter().all(Matcher::matches_empty) {
        return invalid("at least one matcher must not match the empty string");
    }
    if draft.ends_at < now {
        return invalid("end time can't be in the past");
    }
    if draft.starts_at >= draft.ends_at {
        return invalid("start time must be before end time");
    }
    let texts = [&draft.created_by, &draft.comment];
    let remarks = draft.annotations.iter().map(|(name, text)| name.len() + text.len());
    let matchers = draft.matchers.iter().map(|it| it.name.len() + it.value.len());
    let bytes: usize = texts.iter().map(|text| text.len()).chain(remarks).chain(matchers).sum();
    if bytes > TEXT_BYTES_MAX {
        return invalid("its texts are too long");
    }
    Ok(())
}

/// Whether a silence can be changed to what is asked for without another one in its place.
fn changes_in_place(known: &Silence, draft: &SilenceDraft, now: TimestampMs) -> bool {
    known.draft.matchers == draft.matchers
        && match known.state(now) {
            SilenceState::Active => {
                draft.starts_at == known.draft.starts_at && draft.ends_at >= now
            }
            SilenceState::Pending => draft.starts_at >= now,
            SilenceState::Expired => false,
        }
}

#[cfg(test)]
mod tests {
    use swell_model::MatchOp;

    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000_000);

    fn after(seconds: i64) -> TimestampMs {
        NOW + DurationMs::from_secs(seconds)
    }

    fn draft(id: Option<&str>, host: &str, starts: i64, ends: i64) -> SilenceDraft {
        SilenceDraft {
            id: id.map(str::to_owned),
            matchers: vec![Matcher::equal("host", host)],
            starts_at: after(starts),
            ends_at: after(ends),
            created_by: "me".to_owned(),
            comment: "maintenance".to_owned(),
            annotations: BTreeMap::new(),
        }
    }

    fn put(
        silences: &mut Silences,
        draft: SilenceDraft,
        at: i64,
        id: &str,
    ) -> Result<String, String> {
        silences.put(draft, after(at), id.to_owned()).map_err(|fault| fault.to_string())
    }

    fn muting(silences: &Silences, host: &str, at: i64) -> String {
        silences.muting(&Labels::from_pairs([("host", host)]), after(at)).join(" ")
    }

    #[test]
    fn a_silence_mutes_from_its_start_to_its_end() {
        let mut silences = Silences::default();
        assert_eq!(put(&mut silences, draft(None, "a", 10, 20), 0, "one"), Ok("one".into()));
        for (at, expected) in [(9, ""), (10, "one"), (19, "one"), (20, "")] {
            assert_eq!(muting(&silences, "a", at), expected, "{at}");
        }
        assert_eq!(muting(&silences, "b", 15), "");
        silences.expire("one", after(12)).expect("it is there");
        assert_eq!(muting(&silences, "a", 13), "");
        assert!(silences.expire("one", after(13)).is_err());
        assert_eq!(silences.expire("two", NOW), Err(SilenceFault::NotFound("two".into())));
        assert!(!silences.forget(after(20), DurationMs::from_secs(10)));
        assert!(silences.forget(after(30), DurationMs::from_secs(10)));
    }

    #[test]
    fn what_stays_the_same_silence_and_what_becomes_another() {
        let start = |silences: &mut Silences| put(silences, draft(None, "a", 0, 100), 0, "one");
        for (changed, at, expected) in [
            // Longer, or shorter.
            (draft(Some("one"), "a", 0, 200), 50, "one"),
            (draft(Some("one"), "a", 0, 60), 50, "one"),
            // For others, or from another time on.
            (draft(Some("one"), "b", 0, 200), 50, "two"),
            (draft(Some("one"), "a", 70, 200), 50, "two"),
            // It is over.
            (draft(Some("one"), "a", 0, 200), 150, "two"),
        ] {
            let mut silences = Silences::default();
            start(&mut silences).expect("taken");
            let id = put(&mut silences, changed.clone(), at, "two").expect("taken");
            assert_eq!(id, expected, "{changed:?}");
            if expected == "two" {
                assert_eq!(
                    silences.get("one").map(|it| it.state(after(at))),
                    Some(SilenceState::Expired)
                );
                let fresh = silences.get("two").expect("it is there");
                assert!(fresh.draft.starts_at >= after(at), "the past is not muted");
            }
        }
        let mut pending = Silences::default();
        put(&mut pending, draft(None, "a", 50, 100), 0, "one").expect("taken");
        assert_eq!(put(&mut pending, draft(Some("one"), "a", 60, 90), 10, "two"), Ok("one".into()));
        assert_eq!(
            put(&mut pending, draft(Some("x"), "a", 60, 90), 10, "two"),
            Err("silence x not found".into())
        );
    }

    #[test]
    fn the_oldest_that_is_over_makes_room_and_no_other() {
        let mut silences = Silences::default();
        for nr in 0..COUNT_MAX {
            let ends = if nr == 7 { 10 } else { 20 + i64::from(nr == 9) };
            let id = format!("{nr}");
            put(&mut silences, draft(None, "a", 0, ends), 0, &id).expect("there is room");
        }
        assert_eq!(
            put(&mut silences, draft(None, "a", 0, 50), 5, "more"),
            Err(SilenceFault::TooMany.to_string())
        );
        assert_eq!(put(&mut silences, draft(None, "a", 0, 50), 15, "more"), Ok("more".into()));
        assert!(silences.get("7").is_none() && silences.get("9").is_some());
        // The one that is to be changed may be the one that goes.
        silences.expire("9", after(16)).expect("active");
        assert_eq!(put(&mut silences, draft(Some("9"), "a", 0, 50), 17, "new"), Ok("new".into()));
        assert!(silences.get("9").is_none() && silences.get("new").is_some());
    }

    #[test]
    fn what_makes_no_silence_is_refused() {
        let mut silences = Silences::default();
        let mut none = draft(None, "a", 0, 10);
        none.matchers.clear();
        let mut any = draft(None, "a", 0, 10);
        any.matchers = vec![Matcher::new("host", MatchOp::Regex, ".*").expect("a pattern")];
        let mut long = draft(None, "a", 0, 10);
        long.comment = "x".repeat(70_000);
        for (asked, part) in [
            (none, "at least one matcher required"),
            (any, "empty string"),
            (long, "too long"),
            (draft(None, "a", 10, 10), "start time must be before end time"),
            (draft(None, "a", -20, -10), "in the past"),
        ] {
            let fault = put(&mut silences, asked, 0, "one").expect_err("refused");
            assert!(fault.contains(part), "{fault}");
        }
        assert_eq!(silences, Silences::default());
    }
}
