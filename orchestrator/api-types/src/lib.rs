//! Kubernetes API objects: resource registry, defaulting, validation, selectors.
