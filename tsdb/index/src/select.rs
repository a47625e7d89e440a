//! From matchers to series, over any index.

use swell_model::{MatchOp, Matcher};

use crate::automaton::SortedTexts;
use crate::pattern::{Bound, bound};
use crate::sets::{Union, intersect, subtract};

/// Whether a value is wanted.
pub type Keep<'k> = dyn FnMut(&str) -> bool + 'k;

/// Postings by label: for each name and value, the sorted indices of the series that have it.
pub trait LabelIndex {
    /// Why the index cannot be read.
    type Error;

    /// All series.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn all(&self) -> Result<Vec<u32>, Self::Error>;

    /// Series are below this.
    fn bound(&self) -> u32;

    /// Number of values of a label.
    fn value_count(&self, name: &str) -> usize;

    /// Number of series with that value of that label.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn posting_count(&self, name: &str, value: &str) -> Result<usize, Self::Error>;

    /// Series with that value of that label; none when there is no such pair.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, Self::Error>;

    /// Leaves of a sorted list of series those with that value of that label.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn retain_postings(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        value: &str,
    ) -> Result<(), Self::Error> {
        *series = intersect(series, &self.postings(name, value)?);
        Ok(())
    }

    /// Series that have the label, whatever its value.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn with_label(&self, name: &str) -> Result<Vec<u32>, Self::Error>;

    /// Values of a label that start with `prefix`, and the series that have them, counted until there are `limit` values
    /// at least; all values and series where counting is not cheap.
    fn prefixed(&self, name: &str, _prefix: &str, _limit: usize) -> Reach {
        Reach { values: self.value_count(name), series: self.bound() as usize }
    }

    /// Adds the series of those values of a label that start with `prefix` and satisfy `keep`, which sees them in
    /// their order.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut Keep<'_>,
        out: &mut Union,
    ) -> Result<(), Self::Error>;

    /// Removes the series whose value of the label (empty without it) does not satisfy `keep`.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn retain(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        keep: &mut Keep<'_>,
    ) -> Result<(), Self::Error>;
}

/// What finding series by the values of a label looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Values that are compared.
    pub values: usize,
    /// Series in their postings.
    pub series: usize,
}

impl Reach {
    /// In values.
    const fn effort(self) -> usize {
        self.values.saturating_add(self.series / SERIES_PER_VALUE)
    }
}

/// Looking up the labels of a series costs as much as looking at so many values of a label.
pub const VALUES_PER_SERIES: usize = 8;
/// Taking so many series out of postings costs as much as looking at a value.
const SERIES_PER_VALUE: usize = 16;

/// For fewer values an automaton of its own is not worth making.
const AUTOMATON_MIN_VALUES: usize = 200;

/// Sorted indices of the series that satisfy all matchers; all series when there are none.
///
/// A matcher that the empty value satisfies removes the series with a value that fails it; any other keeps the
/// series with a value that passes. (Prometheus `tsdb/querier.go`, `PostingsForMatchers`.) Where few series are left
/// their labels are looked at instead of the values of the label.
///
/// # Errors
/// When the index cannot be read.
pub fn select<I: LabelIndex + ?Sized>(
    index: &I,
    matchers: &[Matcher],
) -> Result<Vec<u32>, I::Error> {
    let Sorted { equal, mut other, removing } = Sorted::of(matchers);
    let first = match rarer(index, &equal, &other)? {
        Some(at) => Some(Search::new(other.remove(at), true).series(index)?),
        None => None,
    };
    let mut kept = by_equality(index, &equal, first)?;
    for matcher in other {
        let search = Search::new(matcher, true);
        kept = Some(match kept {
            Some(mut kept) if search.is_dearer(index, kept.len())? => {
                index.retain(&mut kept, &matcher.name, &mut |value| matcher.matches(value))?;
                kept
            }
            Some(kept) => intersect(&kept, &search.series(index)?),
            None => search.series(index)?,
        });
    }
    let mut kept = match kept {
        Some(kept) => kept,
        None => index.all()?,
    };
    for matcher in removing {
        let search = Search::new(matcher, false);
        if search.is_dearer(index, kept.len())? {
            index.retain(&mut kept, &matcher.name, &mut |value| matcher.matches(value))?;
        } else {
            kept = subtract(&kept, &search.series(index)?);
        }
    }
    Ok(kept)
}

/// Matchers by what they do to the series found so far.
struct Sorted<'m> {
    equal: Vec<&'m Matcher>,
    /// Others that keep series with a value.
    other: Vec<&'m Matcher>,
    /// The empty value satisfies them.
    removing: Vec<&'m Matcher>,
}

impl<'m> Sorted<'m> {
    fn of(matchers: &'m [Matcher]) -> Self {
        let (removing, keeping): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| matcher.matches_empty());
        let (equal, other) = keeping.into_iter().partition(|matcher| matcher.op == MatchOp::Equal);
        Self { equal, other, removing }
    }
}

/// Which of other matchers finds its series with less than it takes to list those of the rarest equality.
fn rarer<I: LabelIndex + ?Sized>(
    index: &I,
    equal: &[&Matcher],
    other: &[&Matcher],
) -> Result<Option<usize>, I::Error> {
    let mut least = usize::MAX;
    for matcher in equal {
        least = least.min(index.posting_count(&matcher.name, &matcher.value)? / SERIES_PER_VALUE);
    }
    let mut found = None;
    if equal.is_empty() {
        return Ok(found);
    }
    for (at, matcher) in other.iter().enumerate() {
        let effort = Search::new(matcher, true).reach(index, least)?.effort();
        if effort < least {
            (least, found) = (effort, Some(at));
        }
    }
    Ok(found)
}

/// The series that satisfy all equalities, the rarest first, and are among those kept already; `None` without any of both.
fn by_equality<I: LabelIndex + ?Sized>(
    index: &I,
    matchers: &[&Matcher],
    mut kept: Option<Vec<u32>>,
) -> Result<Option<Vec<u32>>, I::Error> {
    let mut counted = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        counted.push((index.posting_count(&matcher.name, &matcher.value)?, *matcher));
    }
    counted.sort_by_key(|(count, _)| *count);
    for (_, matcher) in counted {
        kept = Some(match kept {
            Some(kept) if kept.is_empty() => return Ok(Some(kept)),
            Some(mut kept) => {
                index.retain_postings(&mut kept, &matcher.name, &matcher.value)?;
                kept
            }
            None => index.postings(&matcher.name, &matcher.value)?,
        });
    }
    Ok(kept)
}

/// What can be told of a selection beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// What it looks at, in values of a label.
    pub effort: usize,
    /// It finds no more series.
    pub series_max: usize,
}

/// Tells of a selection, by what [`select`] would do, how much it looks at; counting ends where that is more than
/// `effort_max`, and takes no longer than so much looking does.
///
/// # Errors
/// When the index cannot be read.
pub fn foresee<I: LabelIndex + ?Sized>(
    index: &I,
    matchers: &[Matcher],
    effort_max: usize,
) -> Result<Foreseen, I::Error> {
    let Sorted { equal, other, removing } = Sorted::of(matchers);
    let mut kept: Option<usize> = None;
    for matcher in &equal {
        let count = index.posting_count(&matcher.name, &matcher.value)?;
        kept = Some(kept.map_or(count, |least| least.min(count)));
    }
    let mut effort = kept.unwrap_or(0).saturating_mul(equal.len()) / SERIES_PER_VALUE;
    for matcher in other {
        if effort > effort_max {
            break;
        }
        let by_labels = kept.map_or(usize::MAX, |kept| kept.saturating_mul(VALUES_PER_SERIES));
        let reach = Search::new(matcher, true).reach(index, by_labels.min(effort_max))?;
        effort = effort.saturating_add(reach.effort().min(by_labels));
        kept = Some(kept.map_or(reach.series, |kept| kept.min(reach.series)));
    }
    let series_max = kept.unwrap_or_else(|| {
        let all = index.bound() as usize;
        effort = effort.saturating_add(all / SERIES_PER_VALUE);
        all
    });
    let by_labels = series_max.saturating_mul(VALUES_PER_SERIES);
    for matcher in removing {
        if effort > effort_max {
            break;
        }
        let reach = Search::new(matcher, false).reach(index, by_labels.min(effort_max))?;
        effort = effort.saturating_add(reach.effort().min(by_labels));
    }
    Ok(Foreseen { effort, series_max })
}

/// The series whose value of a label passes a matcher, or fails it, and how they are found by that label.
struct Search<'m> {
    matcher: &'m Matcher,
    pass: bool,
    way: Way,
}

/// How series are found by a label.
enum Way {
    /// By these values, of which the empty one is none.
    Values(Vec<String>),
    /// By having the label.
    Labelled,
    /// There are none.
    Nowhere,
    /// By all values that start with this, each compared.
    Compared(String),
}

impl<'m> Search<'m> {
    fn new(matcher: &'m Matcher, pass: bool) -> Self {
        let is_negative = matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex);
        let bound = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Bound::Literals(vec![matcher.value.clone()]),
            MatchOp::Regex | MatchOp::NotRegex => bound(&matcher.value),
        };
        // The bound speaks of what the value or pattern itself matches, so it helps when that is what is wanted.
        let wants_matched = pass != is_negative;
        let way = match bound {
            Bound::Literals(literals) if wants_matched => Way::Values(literals),
            // What does not match the empty text has a label.
            Bound::Literals(literals) if literals.iter().all(String::is_empty) => Way::Labelled,
            Bound::All | Bound::NonEmpty if wants_matched => Way::Labelled,
            Bound::All | Bound::NonEmpty => Way::Nowhere,
            Bound::Prefix(prefix) if wants_matched => Way::Compared(prefix),
            Bound::Literals(_) | Bound::Prefix(_) => Way::Compared(String::new()),
        };
        Self { matcher, pass, way }
    }

    /// Whether it is less to look at the labels of the series kept than to find these.
    fn is_dearer<I: LabelIndex + ?Sized>(&self, index: &I, kept: usize) -> Result<bool, I::Error> {
        let by_labels = kept.saturating_mul(VALUES_PER_SERIES);
        Ok(by_labels < self.reach(index, by_labels)?.effort())
    }

    /// What finding them looks at. Where that is more than `limit` it is not counted on: then they may be all series.
    fn reach<I: LabelIndex + ?Sized>(&self, index: &I, limit: usize) -> Result<Reach, I::Error> {
        let (name, all) = (&self.matcher.name, index.bound() as usize);
        match &self.way {
            Way::Nowhere => Ok(Reach { values: 0, series: 0 }),
            Way::Values(values) => {
                let mut reach = Reach { values: values.len(), series: 0 };
                for value in values {
                    if reach.effort() > limit {
                        reach.series = reach.series.max(all);
                        break;
                    }
                    reach.series += index.posting_count(name, value)?;
                }
                Ok(reach)
            }
            Way::Compared(prefix) if !prefix.is_empty() => {
                let mut reach = index.prefixed(name, prefix, limit.saturating_add(1));
                if reach.values > limit {
                    reach.series = reach.series.max(all);
                }
                Ok(reach)
            }
            Way::Labelled | Way::Compared(_) => {
                Ok(Reach { values: index.value_count(name), series: all })
            }
        }
    }

    /// Their indices, sorted.
    fn series<I: LabelIndex + ?Sized>(&self, index: &I) -> Result<Vec<u32>, I::Error> {
        let Self { matcher, pass, way } = self;
        let name = &matcher.name;
        let prefix = match way {
            Way::Values(values) => return any_of(index, name, values),
            Way::Labelled => return index.with_label(name),
            Way::Nowhere => return Ok(Vec::new()),
            Way::Compared(prefix) => prefix,
        };
        let mut out = Union::new(index.bound());
        if index.value_count(name) < AUTOMATON_MIN_VALUES {
            let keep = &mut |value: &str| matcher.matches(value) == *pass;
            index.postings_where(name, prefix, keep, &mut out)?;
        } else {
            let mut texts = SortedTexts::new(matcher);
            let keep = &mut |value: &str| texts.matches(value) == *pass;
            index.postings_where(name, prefix, keep, &mut out)?;
        }
        Ok(out.finish())
    }
}

fn any_of<I: LabelIndex + ?Sized>(
    index: &I,
    name: &str,
    values: &[String],
) -> Result<Vec<u32>, I::Error> {
    let mut values: Vec<&String> = values.iter().filter(|value| !value.is_empty()).collect();
    if let [only] = values[..] {
        return index.postings(name, only);
    }
    values.sort();
    let mut out = Union::new(index.bound());
    for value in values {
        out.extend(index.postings(name, value)?);
    }
    Ok(out.finish())
}
