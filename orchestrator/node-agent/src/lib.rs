//! Runs the pods of one node: pod state machine, probes, status, logs, adoption after a restart.
