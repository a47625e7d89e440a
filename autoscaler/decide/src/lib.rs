//! Scaling decisions as pure functions: replicas, behaviour windows, reasons.
