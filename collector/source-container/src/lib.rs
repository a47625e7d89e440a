//! Container and pod metrics from cgroup v1, v2 or the process tree, in cAdvisor's names.
