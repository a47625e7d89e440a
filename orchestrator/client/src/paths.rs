//! Where an object lives in the URL space of the API.

use swell_api_types::Object;

/// Path of a collection: of one namespace, or (`None`) of all of them or of a cluster-wide kind.
#[must_use]
pub fn collection_path<K: Object>(namespace: Option<&str>) -> String {
    let root = if K::GROUP.is_empty() {
        format!("/api/{}", K::VERSION)
    } else {
        format!("/apis/{}/{}", K::GROUP, K::VERSION)
    };
    match namespace {
        Some(namespace) => {
            format!("{root}/namespaces/{}/{}", escape(namespace), K::URL_PATH_SEGMENT)
        }
        None => format!("{root}/{}", K::URL_PATH_SEGMENT),
    }
}

/// Path of one object, with a subresource such as `status` if asked.
#[must_use]
pub fn object_path<K: Object>(
    namespace: Option<&str>,
    name: &str,
    subresource: Option<&str>,
) -> String {
    let mut path = collection_path::<K>(namespace);
    path.push('/');
    path.push_str(&escape(name));
    if let Some(subresource) = subresource {
        path.push('/');
        path.push_str(subresource);
    }
    path
}

/// Percent-encodes everything that is not unreserved in RFC 3986.
pub(crate) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::Node;

    use super::*;

    #[test]
    fn paths_follow_group_scope_and_subresource() {
        assert_eq!(collection_path::<Node>(None), "/api/v1/nodes");
        assert_eq!(
            object_path::<Deployment>(Some("shop"), "a b/c", Some("scale")),
            "/apis/apps/v1/namespaces/shop/deployments/a%20b%2Fc/scale"
        );
    }
}
