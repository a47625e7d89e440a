//! User-space service proxy over ready endpoints, measuring requests, latency and concurrency per service.
