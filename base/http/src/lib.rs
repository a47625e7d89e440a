//! Listeners, TLS, request limits, error bodies and draining for every HTTP surface; each domain contributes a router.
