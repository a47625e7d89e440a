//! The ContainerRuntime trait and its backends; here ordinary processes under a shim.
