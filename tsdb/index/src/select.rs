//! From matchers to series, over any index.

use swell_model::{MatchOp, Matcher};

use crate::pattern::{Bound, bound};
use crate::sets::{intersect, subtract, union};

/// Postings by label: for each name and value, the sorted indices of the series that have it.
pub trait LabelIndex {
    /// Why the index cannot be read.
    type Error;

    /// All series.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn all(&self) -> Result<Vec<u32>, Self::Error>;

    /// Series with that value of that label; none when there is no such pair.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, Self::Error>;

    /// Appends the postings of those values of a label that start with `prefix` and satisfy `keep`.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
        out: &mut Vec<Vec<u32>>,
    ) -> Result<(), Self::Error>;
}

/// Sorted indices of the series that satisfy all matchers; all series when there are none.
///
/// A matcher that the empty value satisfies removes the series with a value that fails it; any other keeps the
/// series with a value that passes. (Prometheus `tsdb/querier.go`, `PostingsForMatchers`.)
///
/// # Errors
/// When the index cannot be read.
pub fn select<I: LabelIndex + ?Sized>(
    index: &I,
    matchers: &[Matcher],
) -> Result<Vec<u32>, I::Error> {
    let (removing, keeping): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|matcher| matcher.matches_empty());
    let mut kept: Option<Vec<u32>> = None;
    // Equality first: it is one look-up, and an empty result spares the scans.
    let (equal, other): (Vec<&Matcher>, Vec<&Matcher>) =
        keeping.into_iter().partition(|matcher| matcher.op == MatchOp::Equal);
    for matcher in equal.into_iter().chain(other) {
        if kept.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let passing = with_value(index, matcher, true)?;
        kept = Some(match kept {
            Some(kept) => intersect(&kept, &passing),
            None => passing,
        });
    }
    let mut kept = match kept {
        Some(kept) => kept,
        None => index.all()?,
    };
    for matcher in removing {
        if kept.is_empty() {
            break;
        }
        kept = subtract(&kept, &with_value(index, matcher, false)?);
    }
    Ok(kept)
}

/// Series that have the label, with a value that passes the matcher or (`pass` false) fails it.
fn with_value<I: LabelIndex + ?Sized>(
    index: &I,
    matcher: &Matcher,
    pass: bool,
) -> Result<Vec<u32>, I::Error> {
    let name = &matcher.name;
    let is_negative = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
    let bound = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => Bound::Literals(vec![matcher.value.clone()]),
        MatchOp::Regex | MatchOp::NotRegex => bound(&matcher.value),
    };
    let mut lists = Vec::new();
    // The bound speaks of what the value or pattern itself matches, so it helps when that is what is wanted.
    let wants_matched = pass != is_negative;
    match bound {
        Bound::Literals(literals) if wants_matched => {
            for literal in literals.iter().filter(|literal| !literal.is_empty()) {
                lists.push(index.postings(name, literal)?);
            }
        }
        Bound::All | Bound::NonEmpty if !wants_matched => {}
        Bound::Prefix(prefix) if wants_matched => {
            index.postings_where(name, &prefix, &mut |v| matcher.matches(v) == pass, &mut lists)?;
        }
        _ => index.postings_where(name, "", &mut |v| matcher.matches(v) == pass, &mut lists)?,
    }
    Ok(union(lists))
}
