//! The embedded columnar time-series database: head, write-ahead log, blocks, compaction, retention, select.
