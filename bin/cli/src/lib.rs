//! The client verbs: a library of the one binary.
