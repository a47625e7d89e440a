//! What series of a block are without their labels being built: identities, which tell them apart across indices, and
//! groups by some of their labels.

use rustc_hash::{FxHashMap, FxHashSet};
use swell_model::{Grouping, Labels, METRIC_NAME};

use super::{IndexError, SliceIndex, Texts};
use crate::keyed::{Identity, identity_of_text};

/// A symbol that no text has.
const NO_SYMBOL: u32 = u32::MAX;

/// Hashes of all symbols of an index, from which identities are made: 16 bytes each.
#[derive(Debug)]
pub struct SymbolHashes(Vec<u128>);

impl SymbolHashes {
    pub(super) fn of(&self, symbol: u32) -> Result<u128, IndexError> {
        let hash = self.0.get(symbol as usize).copied();
        hash.ok_or(IndexError::at("a symbol lies outside the table"))
    }
}

/// Texts that were met, told apart by the hashes that make an [`Identity`].
#[derive(Debug, Default)]
pub struct KnownTexts(FxHashSet<u128>);

impl KnownTexts {
    /// Adds a text.
    pub fn learn(&mut self, text: &str) {
        self.add(identity_of_text(text));
    }

    /// Adds a text by its hash; gives whether it is new.
    pub(super) fn add(&mut self, hash: u128) -> bool {
        self.0.insert(hash)
    }
}

/// Where the labels that tell groups apart stand in the series of one shape.
#[derive(Debug, Default)]
struct Places {
    /// Of grouping by names: the place of each, [`NO_PLACE`] where the shape lacks it. Of grouping without names: the
    /// places of all others.
    values: Vec<usize>,
    /// Of grouping without names: the symbols of the names at these places, which shapes may share or not.
    names: Vec<u32>,
}

/// No place: the shape lacks the name.
const NO_PLACE: usize = usize::MAX;

impl<B: AsRef<[u8]>> SliceIndex<B> {
    /// Hashes all texts once.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn symbol_hashes(&self) -> Result<SymbolHashes, IndexError> {
        let mut texts = self.symbol_reader()?;
        let hashes = (0..self.symbol_count).map(|symbol| texts.text(symbol).map(identity_of_text));
        hashes.collect::<Result<_, _>>().map(SymbolHashes)
    }

    /// Identities of series, in the order of the indices asked for; fast when these rise. `hashes` are of this index.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn identities(
        &self,
        indices: &[u32],
        hashes: &SymbolHashes,
    ) -> Result<Vec<Identity>, IndexError> {
        let mut position = None;
        let mut out = Vec::with_capacity(indices.len());
        for idx in indices {
            let at = self.series.seek(self.bytes.as_ref(), &mut position, *idx)?;
            let mut identity = Identity::default();
            for (name, value) in self.series.shapes[at.shape].iter().zip(&at.values) {
                identity.add(hashes.of(*name)?, hashes.of(*value)?);
            }
            out.push(identity);
        }
        Ok(out)
    }

    /// The group of each series, as an index into the labels of the groups, each of which stands once; fast when the
    /// indices rise.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn group(
        &self,
        indices: &[u32],
        grouping: Grouping<'_>,
    ) -> Result<(Vec<u32>, Vec<Labels>), IndexError> {
        let symbols = self.grouping_symbols(grouping);
        let mut texts = Texts::new(self.symbol_reader()?);
        let mut places: FxHashMap<usize, Places> = FxHashMap::default();
        let mut by_key: FxHashMap<Box<[u32]>, u32> = FxHashMap::default();
        let (mut group_of, mut groups) = (Vec::with_capacity(indices.len()), Vec::new());
        let (mut key, mut position) = (Vec::new(), None);
        for idx in indices {
            let at = self.series.seek(self.bytes.as_ref(), &mut position, *idx)?;
            let shape = &self.series.shapes[at.shape];
            let places = places
                .entry(at.shape)
                .or_insert_with(|| Places::of(shape, &symbols, grouping.without));
            key.clear();
            let value_at = |place: &usize| match *place {
                NO_PLACE => NO_SYMBOL,
                place => at.values[place],
            };
            key.extend(places.values.iter().map(value_at));
            key.extend_from_slice(&places.names);
            let group = match by_key.get(&key[..]) {
                Some(group) => *group,
                None => {
                    let pairs = || shape.iter().zip(&at.values);
                    for (name, value) in pairs() {
                        texts.load(*name)?;
                        texts.load(*value)?;
                    }
                    let pairs = pairs().map(|(name, value)| (texts.get(*name), texts.get(*value)));
                    let kept: Vec<(&str, &str)> =
                        pairs.filter(|(name, _)| grouping.keeps(name)).collect();
                    if !is_sound(&kept) {
                        return Err(IndexError::at("the labels of a series are out of order"));
                    }
                    let group = u32::try_from(groups.len()).expect("no more groups than series");
                    groups.push(Labels::from_sorted(kept));
                    by_key.insert(key[..].into(), group);
                    group
                }
            };
            group_of.push(group);
        }
        Ok((group_of, groups))
    }

    /// Symbols of the names that a grouping names, and of the metric's name where that is left out as well.
    fn grouping_symbols(&self, grouping: Grouping<'_>) -> Vec<u32> {
        let symbol = |name: &str| self.names.find(name).map_or(NO_SYMBOL, |entry| entry.symbol);
        let mut symbols: Vec<u32> = grouping.names.iter().map(|name| symbol(name)).collect();
        if grouping.without {
            symbols.push(symbol(METRIC_NAME));
        }
        symbols
    }
}

impl Places {
    fn of(shape: &[u32], symbols: &[u32], without: bool) -> Self {
        if without {
            let kept = (0..shape.len()).filter(|place| !symbols.contains(&shape[*place]));
            let values: Vec<usize> = kept.collect();
            let names = values.iter().map(|place| shape[*place]).collect();
            return Self { values, names };
        }
        let place_of = |symbol: &u32| shape.iter().position(|name| name == symbol);
        let values = symbols.iter().map(|symbol| place_of(symbol).unwrap_or(NO_PLACE)).collect();
        Self { values, names: Vec::new() }
    }
}

/// Sorted by name, each once, no empty value: what damage may break.
fn is_sound(pairs: &[(&str, &str)]) -> bool {
    pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().all(|pair| !pair.1.is_empty())
}
