//! Which column a column should refer to: the next bucket of its histogram, or one that the same events move.
//!
//! A reference costs the reading of another column, so chains of them are bounded, and they must pay.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;

use swell_chunk::FloatWriter;
use swell_model::Labels;

use super::{CHUNK_LEN, REFERENCE_DEPTH_MAX, TimesRef};

/// Label of a histogram's bucket: its upper bound.
const BUCKET_BOUND: &str = "le";
/// Mantissas kept for later series to refer to: 16 MiB. The oldest go first.
const KEPT_VALUES: usize = 2 << 20;
/// Columns of one target that others may refer to, beside buckets.
const DRIVERS_MAX: usize = 64;
/// Of these, so many are tried: those that changed by the most similar amounts.
const DRIVERS_TRIED: usize = 3;
/// A longer series is not kept, nor does it refer to another: its chunks would all be held at once.
const SERIES_MAX_VALUES: usize = 64 * CHUNK_LEN;

/// Columns written so far that later ones may refer to.
#[derive(Debug, Default)]
pub(super) struct References {
    families: HashMap<u64, Vec<Rc<Column>>>,
    drivers: HashMap<u64, Vec<Rc<Column>>>,
    by_age: VecDeque<Rc<Column>>,
    kept_values: usize,
}

/// A column that others may refer to.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) series: u32,
    /// Columns that must be read before it.
    depth: u8,
    /// Upper bound of a bucket.
    bound: Option<f64>,
    /// By which it rose or fell in all.
    change: i64,
    chunks: Vec<Vec<i64>>,
    family: u64,
    target: u64,
}

/// Where a series belongs among the columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kin {
    family: u64,
    target: u64,
    bound: Option<f64>,
}

impl Kin {
    /// Only series with the same times can refer to each other.
    pub(super) fn new(labels: &Labels, times: TimesRef) -> Self {
        let mut hasher = DefaultHasher::new();
        (times.column, times.first, times.len).hash(&mut hasher);
        let target = hasher.finish();
        for (name, value) in labels.iter().filter(|(name, _)| *name != BUCKET_BOUND) {
            (name, value).hash(&mut hasher);
        }
        let bound = labels.get(BUCKET_BOUND).and_then(|bound| bound.parse().ok());
        Self { family: hasher.finish(), target, bound }
    }
}

impl References {
    /// Lets the chunks of a series refer to a column where that is smaller; gives the column and how many columns
    /// must then be read before this one.
    pub(super) fn refer(&self, kin: Kin, chunks: &mut [FloatWriter<'_>]) -> Option<(u32, u8)> {
        let first = chunks.first()?;
        let change = change_of(first.mantissas()?);
        let candidates = match kin.bound {
            Some(bound) => self.neighbours(kin.family, bound),
            None => Vec::new(),
        };
        let candidates =
            if candidates.is_empty() { self.similar(kin.target, change) } else { candidates };
        // Of columns that save as much, the one with the fewest before it.
        let mut candidates: Vec<&Column> =
            candidates.into_iter().filter(|column| column.chunks.len() == chunks.len()).collect();
        candidates.sort_by_key(|column| column.depth);
        let starts = candidates.into_iter().map(|column| (&column.chunks[0][..], column));
        let best = first.best_reference(starts)?;
        let mut refers = false;
        for (chunk, reference) in chunks.iter_mut().zip(&best.chunks) {
            refers |= chunk.refer_to(reference);
        }
        refers.then_some((best.series, best.depth + 1))
    }

    /// The buckets with the next bound above and below.
    fn neighbours(&self, family: u64, bound: f64) -> Vec<&Column> {
        let members = self.families.get(&family).map(Vec::as_slice).unwrap_or_default();
        let usable = || members.iter().map(Rc::as_ref).filter(|column| column.is_usable());
        let bound_of = |column: &&Column| column.bound.unwrap_or(f64::NAN);
        let below = usable()
            .filter(|column| bound_of(column) < bound)
            .max_by(|a, b| bound_of(a).total_cmp(&bound_of(b)));
        let above = usable()
            .filter(|column| bound_of(column) > bound)
            .min_by(|a, b| bound_of(a).total_cmp(&bound_of(b)));
        below.into_iter().chain(above).collect()
    }

    /// Columns of the target that changed by nearly as much.
    fn similar(&self, target: u64, change: i64) -> Vec<&Column> {
        let drivers = self.drivers.get(&target).map(Vec::as_slice).unwrap_or_default();
        let mut near: Vec<((u64, u32), &Column)> = Vec::with_capacity(DRIVERS_TRIED + 1);
        for column in drivers.iter().map(Rc::as_ref).filter(|column| column.is_usable()) {
            let key = (column.change.abs_diff(change), column.series);
            let place = near.partition_point(|(other, _)| *other < key);
            if place < DRIVERS_TRIED {
                near.insert(place, (key, column));
                near.truncate(DRIVERS_TRIED);
            }
        }
        near.into_iter().map(|(_, column)| column).collect()
    }

    /// Keeps a column that was written, for later ones to refer to.
    pub(super) fn keep(&mut self, kin: Kin, series: u32, depth: u8, chunks: Vec<FloatWriter<'_>>) {
        let chunks: Option<Vec<Vec<i64>>> =
            chunks.into_iter().map(FloatWriter::into_mantissas).collect();
        let Some(chunks) = chunks else { return };
        let Some(change) = chunks.first().map(|first| change_of(first)) else { return };
        let column = Rc::new(Column {
            series,
            depth,
            bound: kin.bound,
            change,
            chunks,
            family: kin.family,
            target: kin.target,
        });
        self.kept_values += column.value_count();
        if kin.bound.is_some() {
            self.families.entry(kin.family).or_default().push(Rc::clone(&column));
        }
        if kin.bound.is_none_or(f64::is_infinite) {
            let drivers = self.drivers.entry(kin.target).or_default();
            drivers.push(Rc::clone(&column));
            if drivers.len() > DRIVERS_MAX {
                drivers.remove(0);
            }
        }
        self.by_age.push_back(column);
        while self.kept_values > KEPT_VALUES
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, column: &Column) {
        self.kept_values -= column.value_count();
        for (map, key) in [(&mut self.families, column.family), (&mut self.drivers, column.target)]
        {
            if let Some(columns) = map.get_mut(&key) {
                columns.retain(|other| other.series != column.series);
                if columns.is_empty() {
                    map.remove(&key);
                }
            }
        }
    }
}

/// Whether a series of so many values may refer and be referred to.
pub(super) const fn is_eligible(value_count: usize) -> bool {
    value_count <= SERIES_MAX_VALUES
}

impl Column {
    const fn is_usable(&self) -> bool {
        self.depth < REFERENCE_DEPTH_MAX
    }

    fn value_count(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

fn change_of(mantissas: &[i64]) -> i64 {
    match mantissas {
        [first, .., last] => last.wrapping_sub(*first),
        _ => 0,
    }
}
