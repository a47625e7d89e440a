//! The forms of names (`k8s.io/apimachinery/pkg/util/validation`).

/// What a DNS label must look like, in Kubernetes' words.
pub(crate) const DNS_LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
/// What a DNS subdomain must look like, in Kubernetes' words.
pub(crate) const DNS_SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// What a service name must look like, in Kubernetes' words.
pub(crate) const DNS_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
/// What a label or annotation key must look like, in Kubernetes' words.
pub(crate) const QUALIFIED_NAME_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// What a label value must look like, in Kubernetes' words.
pub(crate) const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const LABEL_LEN_MAX: usize = 63;
const SUBDOMAIN_LEN_MAX: usize = 253;

/// Whether `text` is an RFC 1123 label: at most 63 of `a-z 0-9 -`, alphanumeric at both ends.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= LABEL_LEN_MAX
        && text.bytes().all(inner)
        && !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is an RFC 1035 label: a DNS label that begins with a letter.
pub(crate) fn is_dns_1035_label(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Whether `text` is an RFC 1123 subdomain: labels joined by dots, at most 253 bytes.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        part.len() <= SUBDOMAIN_LEN_MAX
            && !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= SUBDOMAIN_LEN_MAX && text.split('.').all(part)
}

/// Whether `text` is a label or annotation key: a name with an optional `subdomain/` in front.
#[must_use]
pub fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name_part(name),
        None => is_name_part(text),
    }
}

/// Whether `text` is a label value: empty or a name of at most 63 bytes.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() <= LABEL_LEN_MAX
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let long = "a".repeat(64);
        for (text, label, subdomain, key, value) in [
            ("web", true, true, true, true),
            ("web-1", true, true, true, true),
            ("a.b", false, true, true, true),
            ("A", false, false, true, true),
            ("", false, false, false, true),
            ("-a", false, false, false, false),
            ("a-", false, false, false, false),
            ("app.io/name", false, false, true, false),
            ("/name", false, false, false, false),
            ("a b", false, false, false, false),
            ("a..b", false, false, true, true),
            (long.as_str(), false, true, false, false),
        ] {
            assert_eq!(is_dns_label(text), label, "label {text:?}");
            assert_eq!(is_dns_subdomain(text), subdomain, "subdomain {text:?}");
            assert_eq!(is_qualified_name(text), key, "key {text:?}");
            assert_eq!(is_label_value(text), value, "value {text:?}");
        }
    }
}
