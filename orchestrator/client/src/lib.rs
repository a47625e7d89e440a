//! Typed client of the Kubernetes-style API over HTTPS or in process, reflector cache and work queue.
