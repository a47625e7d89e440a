//! Observe, decide, act: one file per autoscaler; decisions are journalled and explained.
