//! Route tree and grouping: whether, when and why a notification is sent.
