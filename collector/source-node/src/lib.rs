//! Node metrics of one Linux machine from /proc and /sys under an injectable root, in node_exporter's names.
