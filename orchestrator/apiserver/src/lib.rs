//! REST, list and watch, discovery, Table output, patches and validation, good enough for kubectl.
