//! Symbols, postings and set algebra: from matchers to series indices over byte slices, and over an index in
//! memory that grows and shrinks.
//!
//! Series are dense indices (`u32`) within one index; what they mean outside is the engine's business.

mod automaton;
mod keyed;
mod lists;
mod members;
mod memory;
mod pattern;
mod postings;
mod select;
pub mod sets;
mod slice;
mod symbols;

#[cfg(test)]
mod tests;

pub use keyed::Identity;
pub use memory::{
    GroupedSeries, ImageReader, Mark, MemoryIndex, TableReader, TableWriter, Unsorted,
};
pub use select::{Foreseen, Keep, LabelIndex, Reach, VALUES_PER_SERIES, foresee, select};
pub use sets::subtract;
pub use slice::{IndexError, IndexWriter, KnownTexts, SliceIndex, SymbolHashes, write_index};
