//! Runs reconcile and schedule: cache, queue, plan, apply, status, event.
