//! What form of answer a client asks for.

use http::{HeaderMap, header};

use crate::failure::Failure;

/// The form of an answer about objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// The objects.
    Json,
    /// Rows and columns, in this version of `meta.k8s.io`.
    Table(String),
    /// Metadata only, in this version of `meta.k8s.io`.
    Metadata(String),
}

/// One entry of an `Accept` header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted<'h> {
    pub(crate) media_type: &'h str,
    params: &'h str,
}

impl<'h> Accepted<'h> {
    /// A parameter such as `as`.
    pub(crate) fn param(&self, name: &str) -> Option<&'h str> {
        self.params.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        })
    }

    pub(crate) fn is_json(&self) -> bool {
        matches!(self.media_type, "application/json" | "*/*" | "application/*")
    }
}

/// The entries of the `Accept` header in the client's order; `*/*` when there is none.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<Accepted<'_>> {
    let texts: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if texts.iter().all(|text| text.trim().is_empty()) {
        return vec![Accepted { media_type: "*/*", params: "" }];
    }
    texts
        .into_iter()
        .flat_map(|text| text.split(','))
        .map(|entry| {
            let (media_type, params) = entry.split_once(';').unwrap_or((entry, ""));
            Accepted { media_type: media_type.trim(), params }
        })
        .collect()
}

/// The first form asked for that the server has.
pub(crate) fn view(headers: &HeaderMap) -> Result<View, Failure> {
    for entry in accepted(headers).into_iter().filter(Accepted::is_json) {
        let version = entry.param("v").unwrap_or("v1").to_owned();
        let known_version = matches!(version.as_str(), "v1" | "v1beta1");
        match (entry.param("as"), entry.param("g")) {
            (None, _) => return Ok(View::Json),
            (Some("Table"), Some("meta.k8s.io")) if known_version => {
                return Ok(View::Table(version));
            }
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io"))
                if known_version =>
            {
                return Ok(View::Metadata(version));
            }
            _ => {}
        }
    }
    Err(Failure::not_acceptable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<View>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("a header"));
        assert_eq!(view(&headers).ok(), expected, "{accept}");
    }

    #[test]
    fn the_first_form_that_the_server_has_wins() {
        check("application/json", Some(View::Json));
        check("", Some(View::Json));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some(View::Table("v1".to_owned())),
        );
        check("application/vnd.kubernetes.protobuf,application/json", Some(View::Json));
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            Some(View::Metadata("v1".to_owned())),
        );
        check("application/json;as=Table;v=v9;g=meta.k8s.io", None);
        check("application/vnd.kubernetes.protobuf", None);
        check("text/html", None);
    }
}
