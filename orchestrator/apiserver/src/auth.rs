//! Who asks, and what they may do.
//!
//! There are four roles, told by the group: `system:masters` may do everything; `system:nodes` (node agents)
//! may read everything but secrets and write what a node reports; `system:authenticated` alone may ask about
//! itself; nobody in particular may ask for version, health and discovery.

use http::HeaderMap;
use swell_api_types::{ResourceType, Subresource};
use swell_http::{Peer, SecretToken, bearer_token};

/// The group of administrators, and of the parts of the server itself.
pub const ADMIN_GROUP: &str = "system:masters";
/// The group of node agents.
pub const NODE_GROUP: &str = "system:nodes";
const AUTHENTICATED: &str = "system:authenticated";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name, as a certificate's common name gives it.
    pub name: String,
    /// Groups, as a certificate's organizations give them.
    pub groups: Vec<String>,
}

impl User {
    /// A user of one group.
    #[must_use]
    pub fn new(name: &str, group: &str) -> Self {
        Self { name: name.to_owned(), groups: vec![group.to_owned(), AUTHENTICATED.to_owned()] }
    }

    /// A part of the server itself, such as `system:kube-controller-manager`: may do everything.
    #[must_use]
    pub fn internal(name: &str) -> Self {
        Self::new(name, ADMIN_GROUP)
    }

    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

/// A bearer token and whose it is.
#[derive(Clone, Debug)]
pub struct TokenUser {
    /// The token.
    pub token: SecretToken,
    /// Whose it is.
    pub user: User,
}

/// What a request shows of its maker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Known(User),
    /// Nothing was shown.
    Anonymous,
    /// Something was shown, and it is wrong.
    Refused,
}

/// Reads identity from a bearer token or, without one, from the client certificate.
pub(crate) fn identify(headers: &HeaderMap, peer: Option<&Peer>, tokens: &[TokenUser]) -> Identity {
    if let Some(text) = bearer_token(headers) {
        let found = tokens.iter().find(|known| known.token.matches(text));
        return found.map_or(Identity::Refused, |known| Identity::Known(known.user.clone()));
    }
    match peer.and_then(|peer| peer.certificate.as_ref()) {
        Some(certificate) => {
            let mut groups = certificate.organizations.clone();
            groups.push(AUTHENTICATED.to_owned());
            Identity::Known(User { name: certificate.common_name.clone(), groups })
        }
        None => Identity::Anonymous,
    }
}

/// What a request wants to do with a resource, in authorization's words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: Option<&'a str>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        verb: &'a str,
        resource: &'a ResourceType,
        subresource: Option<Subresource>,
        namespace: Option<&'a str>,
    ) -> Self {
        Self {
            verb,
            group: resource.group,
            plural: resource.plural,
            subresource: subresource.map_or("", Subresource::name),
            namespace,
        }
    }

    /// The refusal in Kubernetes' words.
    pub(crate) fn refusal(&self, user: &User) -> String {
        let resource = match (self.plural, self.subresource) {
            (plural, "") => plural.to_owned(),
            (plural, part) => format!("{plural}/{part}"),
        };
        let place = self.namespace.map_or_else(
            || "at the cluster scope".to_owned(),
            |namespace| format!("in the namespace {namespace:?}"),
        );
        format!(
            "{resource} is forbidden: User {:?} cannot {} resource {resource:?} in API group {:?} {place}",
            user.name, self.verb, self.group
        )
    }
}

/// What a node agent may write: resource, part of it, verbs.
const NODE_WRITES: &[(&str, &str, &[&str])] = &[
    ("nodes", "", &["create", "update", "patch"]),
    ("nodes", "status", &["update", "patch"]),
    ("pods", "", &["delete"]),
    ("pods", "status", &["update", "patch"]),
    ("pods", "eviction", &["create"]),
    ("events", "", &["create", "update", "patch"]),
    ("leases", "", &["create", "update", "patch"]),
];

/// Whether `user` may do it.
pub(crate) fn is_allowed(user: &User, attempt: &Attempt<'_>) -> bool {
    if user.is_in(ADMIN_GROUP) {
        return true;
    }
    if !user.is_in(NODE_GROUP) {
        return false;
    }
    let reads = matches!(attempt.verb, "get" | "list" | "watch");
    reads && attempt.plural != "secrets"
        || NODE_WRITES.iter().any(|(plural, part, verbs)| {
            (*plural, *part) == (attempt.plural, attempt.subresource)
                && verbs.contains(&attempt.verb)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(group: &str, verb: &str, plural: &str, subresource: &str, expected: bool) {
        let attempt = Attempt { verb, group: "", plural, subresource, namespace: Some("default") };
        let user = User::new("somebody", group);
        assert_eq!(is_allowed(&user, &attempt), expected, "{group} {verb} {plural}/{subresource}");
    }

    #[test]
    fn roles_follow_groups() {
        check(ADMIN_GROUP, "delete", "secrets", "", true);
        check(NODE_GROUP, "watch", "pods", "", true);
        check(NODE_GROUP, "get", "secrets", "", false);
        check(NODE_GROUP, "patch", "pods", "status", true);
        check(NODE_GROUP, "patch", "pods", "", false);
        check(NODE_GROUP, "create", "pods", "binding", false);
        check(NODE_GROUP, "deletecollection", "pods", "", false);
        check("guests", "get", "pods", "", false);
    }

    #[test]
    fn a_wrong_token_is_refused_even_with_a_certificate() {
        let token = SecretToken::new("right").expect("randomness");
        let tokens = [TokenUser { token, user: User::new("admin", ADMIN_GROUP) }];
        for (header, expected_name) in
            [(Some("Bearer right"), Some("admin")), (Some("Bearer wrong"), None), (None, None)]
        {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(http::header::AUTHORIZATION, header.parse().expect("a header"));
            }
            let identity = identify(&headers, None, &tokens);
            let name = match &identity {
                Identity::Known(user) => Some(user.name.as_str()),
                Identity::Anonymous | Identity::Refused => None,
            };
            assert_eq!(name, expected_name);
            assert_eq!(identity == Identity::Refused, header == Some("Bearer wrong"));
        }
    }
}
