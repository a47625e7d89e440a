//! Which kinds a server has, asked from the server itself: it may have more than we know.

use serde::Deserialize;
use swell_client::{Client, RawRequest};

use crate::CliError;

const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// One kind of object and where it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) namespaced: bool,
}

#[derive(Deserialize)]
struct GroupList {
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Named,
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    short_names: Vec<String>,
    scope: String,
    response_kind: Option<ResponseKind>,
}

#[derive(Deserialize)]
struct ResponseKind {
    kind: String,
}

impl Kind {
    /// Path of the collection, in one namespace or (`None`) in all.
    pub(crate) fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// Path of one object.
    pub(crate) fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(Some(namespace)))
    }

    /// How an object is named to people: `deployment.apps/web`.
    pub(crate) fn shown(&self, name: &str) -> String {
        if self.group.is_empty() {
            format!("{}/{name}", self.singular)
        } else {
            format!("{}.{}/{name}", self.singular, self.group)
        }
    }

    fn answers_to(&self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        let (name, group) = word.split_once('.').unwrap_or((&word, ""));
        let group_fits = group.is_empty() || group == self.group;
        group_fits
            && (self.plural == name
                || self.singular == name
                || self.kind.eq_ignore_ascii_case(name)
                || self.short_names.iter().any(|short| short == name))
    }
}

/// All kinds of a server.
#[derive(Debug)]
pub(crate) struct Kinds(Vec<Kind>);

impl Kinds {
    /// Asks the server.
    pub(crate) async fn discover(client: &Client) -> Result<Self, CliError> {
        let mut kinds = Vec::new();
        for path in ["/api", "/apis"] {
            let request =
                RawRequest { accept: Some(DISCOVERY.to_owned()), ..RawRequest::get(path) };
            let answer = client
                .send(request)
                .await
                .map_err(CliError::api("ask the server for its kinds"))?;
            if !answer.status.is_success() {
                return Err(CliError::HttpAnswer {
                    code: answer.status.as_u16(),
                    message: crate::output::status_message(&answer.body),
                });
            }
            let groups: GroupList = serde_json::from_slice(&answer.body).map_err(|error| {
                CliError::Usage(format!("{path} is no discovery document: {error}"))
            })?;
            kinds.extend(groups.items.into_iter().flat_map(flatten));
        }
        Ok(Self(kinds))
    }

    /// The kind that a word of the command line means.
    pub(crate) fn find(&self, word: &str) -> Result<&Kind, CliError> {
        self.0.iter().find(|kind| kind.answers_to(word)).ok_or_else(|| {
            let known: Vec<&str> = self.0.iter().map(|kind| kind.plural.as_str()).collect();
            CliError::Usage(format!("the server has no kind {word:?}; it has {}", known.join(", ")))
        })
    }

    /// The kind of an object in a file.
    pub(crate) fn of_object(&self, api_version: &str, kind: &str) -> Result<&Kind, CliError> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.0
            .iter()
            .find(|known| known.group == group && known.version == version && known.kind == kind)
            .ok_or_else(|| {
                CliError::Usage(format!("the server has no kind {kind} in version {api_version}"))
            })
    }
}

fn flatten(group: Group) -> impl Iterator<Item = Kind> {
    let name = group.metadata.name;
    group.versions.into_iter().flat_map(move |version| {
        let name = name.clone();
        version.resources.into_iter().map(move |resource| Kind {
            group: name.clone(),
            version: version.version.clone(),
            kind: resource.response_kind.map(|kind| kind.kind).unwrap_or_default(),
            plural: resource.resource,
            singular: resource.singular_resource,
            short_names: resource.short_names,
            namespaced: resource.scope == "Namespaced",
        })
    })
}

/// Splits `KIND/NAME`, or takes the names given beside the kind.
pub(crate) fn split<'a>(
    what: &'a str,
    names: &'a [String],
) -> Result<(&'a str, Vec<&'a str>), CliError> {
    match what.split_once('/') {
        Some((kind, name)) if names.is_empty() && !name.is_empty() => Ok((kind, vec![name])),
        Some(_) => Err(CliError::Usage(format!("{what:?}: give KIND/NAME or KIND NAME, not both"))),
        None => Ok((what, names.iter().map(String::as_str).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_answers_to_its_names() {
        let kind = Kind {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
            singular: "deployment".to_owned(),
            short_names: vec!["deploy".to_owned()],
            namespaced: true,
        };
        for word in ["deploy", "deployment", "Deployments", "deployments.apps"] {
            assert!(kind.answers_to(word), "{word}");
        }
        for word in ["deployments.batch", "depl", ""] {
            assert!(!kind.answers_to(word), "{word}");
        }
        assert_eq!(kind.object("shop", "web"), "/apis/apps/v1/namespaces/shop/deployments/web");
        assert_eq!(kind.shown("web"), "deployment.apps/web");
    }

    #[test]
    fn names_come_after_a_slash_or_as_words() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(split("pod/x", &[]).expect("fine"), ("pod", vec!["x"]));
        assert_eq!(split("pod", &names).expect("fine"), ("pod", vec!["a", "b"]));
        assert!(split("pod/x", &names).is_err());
    }
}
