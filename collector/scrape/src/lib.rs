//! Scrape target sets and one loop per target: fetch, parse, relabel, append, staleness.
