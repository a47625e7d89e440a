//! Label names from what sources call things, and addresses from hosts and ports.

/// The name with every character that a classic label name may not hold as an underscore.
pub(crate) fn sanitized(name: &str) -> String {
    let keep = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '_' }
    };
    name.chars().map(keep).collect()
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn join(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        assert_eq!(sanitized("app.kubernetes.io/name-x"), "app_kubernetes_io_name_x");
        assert_eq!(sanitized("größe"), "gr__e");
        assert_eq!(join("h", 1), "h:1");
        assert_eq!(join("fd00::1", 1), "[fd00::1]:1");
    }
}
