//! One file per kind: from what is observed to a plan; level-triggered and idempotent.
