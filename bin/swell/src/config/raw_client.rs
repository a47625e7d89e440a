//! What may be said of a client, wherever one is configured: as serde reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::raw::Opaque;

/// Declares a struct of the configuration that has a client's keys beside its own. Serde cannot flatten structs that
/// refuse unknown keys, so that the keys have to stand in each of them.
macro_rules! with_client {
    (
        $(#[$attribute:meta])*
        struct $name:ident { $($(#[$field_attribute:meta])* $field:ident: $kind:ty,)* }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $($(#[$field_attribute])* pub(crate) $field: $kind,)*
            pub(crate) basic_auth: Option<$crate::config::raw_client::RawBasicAuth>,
            pub(crate) authorization: Option<$crate::config::raw_client::RawAuthorization>,
            pub(crate) bearer_token: Option<String>,
            pub(crate) bearer_token_file: Option<std::path::PathBuf>,
            pub(crate) oauth2: Option<$crate::config::raw_client::RawOAuth2>,
            pub(crate) tls_config: Option<$crate::config::raw_client::RawTls>,
            pub(crate) proxy_url: Option<String>,
            pub(crate) no_proxy: Option<String>,
            #[serde(deserialize_with = "crate::config::raw::or_zero")]
            pub(crate) proxy_from_environment: bool,
            pub(crate) proxy_connect_header: std::collections::BTreeMap<String, Vec<String>>,
            pub(crate) http_headers:
                std::collections::BTreeMap<String, $crate::config::raw_client::RawHeader>,
            #[serde(deserialize_with = "crate::config::raw::given")]
            pub(crate) follow_redirects: Option<bool>,
            #[serde(deserialize_with = "crate::config::raw::given")]
            pub(crate) enable_http2: Option<bool>,
        }

        impl $name {
            /// The client's keys.
            pub(crate) fn client(&self) -> $crate::config::raw_client::RawClient<'_> {
                $crate::config::raw_client::RawClient {
                    basic_auth: self.basic_auth.as_ref(),
                    authorization: self.authorization.as_ref(),
                    bearer_token: self.bearer_token.as_ref(),
                    bearer_token_file: self.bearer_token_file.as_ref(),
                    oauth2: self.oauth2.as_ref(),
                    tls: self.tls_config.as_ref(),
                    proxy: $crate::config::raw_client::RawProxy {
                        url: self.proxy_url.as_deref(),
                        exempt: self.no_proxy.as_deref(),
                        from_environment: self.proxy_from_environment,
                        connect_header: &self.proxy_connect_header,
                    },
                    headers: &self.http_headers,
                    follow_redirects: self.follow_redirects,
                    http2: self.enable_http2,
                }
            }
        }
    };
}
pub(crate) use with_client;

/// A client's keys, wherever they stand.
#[derive(Clone, Copy)]
pub(crate) struct RawClient<'a> {
    pub(crate) basic_auth: Option<&'a RawBasicAuth>,
    pub(crate) authorization: Option<&'a RawAuthorization>,
    pub(crate) bearer_token: Option<&'a String>,
    pub(crate) bearer_token_file: Option<&'a PathBuf>,
    pub(crate) oauth2: Option<&'a RawOAuth2>,
    pub(crate) tls: Option<&'a RawTls>,
    pub(crate) proxy: RawProxy<'a>,
    pub(crate) headers: &'a BTreeMap<String, RawHeader>,
    pub(crate) follow_redirects: Option<bool>,
    pub(crate) http2: Option<bool>,
}

/// The keys of a proxy, wherever they stand.
#[derive(Clone, Copy)]
pub(crate) struct RawProxy<'a> {
    pub(crate) url: Option<&'a str>,
    pub(crate) exempt: Option<&'a str>,
    pub(crate) from_environment: bool,
    pub(crate) connect_header: &'a BTreeMap<String, Vec<String>>,
}

/// One of `http_headers:`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawHeader {
    pub(crate) values: Vec<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) files: Vec<PathBuf>,
}

impl std::fmt::Debug for RawHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawHeader").field("files", &self.files).finish_non_exhaustive()
    }
}

/// `oauth2:`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawOAuth2 {
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<String>,
    pub(crate) client_secret_file: Option<PathBuf>,
    pub(crate) scopes: Vec<String>,
    pub(crate) token_url: String,
    #[serde(deserialize_with = "crate::config::raw::texts")]
    pub(crate) endpoint_params: BTreeMap<String, String>,
    pub(crate) tls_config: Option<RawTls>,
    pub(crate) proxy_url: Option<String>,
    pub(crate) no_proxy: Option<String>,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) proxy_from_environment: bool,
    pub(crate) proxy_connect_header: BTreeMap<String, Vec<String>>,
    // of the other grant, which is refused
    pub(crate) grant_type: Option<String>,
    pub(crate) client_certificate_key: Option<Opaque>,
    pub(crate) client_certificate_key_file: Option<Opaque>,
    pub(crate) client_certificate_key_id: Option<Opaque>,
    pub(crate) signature_algorithm: Option<Opaque>,
    pub(crate) iss: Option<Opaque>,
    pub(crate) audience: Option<Opaque>,
    pub(crate) claims: Option<Opaque>,
}

impl std::fmt::Debug for RawOAuth2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawOAuth2").field("token_url", &self.token_url).finish_non_exhaustive()
    }
}

/// `basic_auth:`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBasicAuth {
    #[serde(default, deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) username: String,
    pub(crate) username_file: Option<PathBuf>,
    pub(crate) password: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
}

impl std::fmt::Debug for RawBasicAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawBasicAuth(<secret>)")
    }
}

/// `authorization:`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAuthorization {
    #[serde(rename = "type")]
    pub(crate) type_: Option<String>,
    pub(crate) credentials: Option<String>,
    pub(crate) credentials_file: Option<PathBuf>,
}

impl std::fmt::Debug for RawAuthorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawAuthorization(<secret>)")
    }
}

/// `tls_config:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTls {
    pub(crate) ca: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) cert: Option<String>,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key: Option<String>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    pub(crate) insecure_skip_verify: bool,
    pub(crate) min_version: Option<String>,
    pub(crate) max_version: Option<String>,
}
