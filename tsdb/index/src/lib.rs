//! Symbols, postings and set algebra: from matchers to series references over byte slices.
