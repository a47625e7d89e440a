//! A revisioned object store with optimistic transactions and watch; embedded on redb.
