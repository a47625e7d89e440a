//! Parses and prints the Prometheus text format 0.0.4, borrowing from the input.
