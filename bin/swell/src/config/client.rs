//! From the keys of a client to its options.

use std::collections::BTreeMap;
use std::path::Path;

use swell_http_client::{
    Auth, ClientOptions, Exempt, ExtraHeader, OAuth2, Pem, Proxy, Secret, TlsOptions, TlsVersion,
    settable,
};
use url::Url;

use super::environment::Environment;
use super::faults::Faults;
use super::raw_client::{
    RawAuthorization, RawBasicAuth, RawClient, RawHeader, RawOAuth2, RawProxy, RawTls,
};

/// What stands before credentials, unless told.
pub(super) const AUTHORIZATION_TYPE_DEFAULT: &str = "Bearer";

/// What options of clients stand on.
#[derive(Clone, Copy)]
pub(super) struct ClientContext<'a> {
    /// Relative paths start here.
    pub(super) folder: &'a Path,
    /// Where proxies may be named.
    pub(super) environment: &'a dyn Environment,
}

/// The options that the keys describe.
pub(super) fn options(
    raw: RawClient<'_>,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> ClientOptions {
    let standard = ClientOptions::default();
    ClientOptions {
        auth: auth(&raw, context, faults),
        tls: raw.tls.map(|it| tls(it, context.folder, faults)).unwrap_or_default(),
        proxy: proxy(raw.proxy, context, faults),
        headers: raw
            .headers
            .iter()
            .filter_map(|(name, header)| extra_header(name, header, context.folder, faults))
            .collect(),
        follow_redirects: raw.follow_redirects.unwrap_or(standard.follow_redirects),
        http2: raw.http2.unwrap_or(standard.http2),
        reach: standard.reach,
        round_robin_dns: standard.round_robin_dns,
    }
}

/// Headers whose values are given as they are, as remote write and remote read have them.
pub(super) fn plain_headers(
    raw: &BTreeMap<String, String>,
    faults: &mut Faults<'_>,
) -> Vec<ExtraHeader> {
    let mut headers = Vec::new();
    for (name, value) in raw {
        match settable(name) {
            Ok(name) => {
                headers.push(ExtraHeader { name, values: vec![Secret::Text(value.clone())] });
            }
            Err(fault) => faults.push(format!("headers: {fault}")),
        }
    }
    headers
}

fn auth(raw: &RawClient<'_>, context: ClientContext<'_>, faults: &mut Faults<'_>) -> Auth {
    let folder = context.folder;
    let bearer_text = raw.bearer_token.map(|token| Secret::Text(token.clone()));
    let bearer_file = raw.bearer_token_file.map(|file| Secret::File(folder.join(file)));
    let bearer = faults.one_of(("bearer_token", "bearer_token_file"), bearer_text, bearer_file);
    let given = [
        raw.basic_auth.is_some(),
        raw.authorization.is_some(),
        raw.oauth2.is_some(),
        bearer.is_some(),
    ];
    if given.into_iter().filter(|given| *given).count() > 1 {
        faults.push("give one of basic_auth, authorization, oauth2 and bearer_token");
    }
    if let Some(basic) = raw.basic_auth {
        return basic_auth(basic, folder, faults);
    }
    if let Some(authorization) = raw.authorization {
        return header_auth(authorization, folder, faults);
    }
    if let Some(oauth2) = raw.oauth2 {
        return self::oauth2(oauth2, context, faults)
            .map_or(Auth::None, |it| Auth::OAuth2(Box::new(it)));
    }
    bearer
        .map_or(Auth::None, |credentials| Auth::Header { scheme: "Bearer".to_owned(), credentials })
}

fn oauth2(raw: &RawOAuth2, context: ClientContext<'_>, faults: &mut Faults<'_>) -> Option<OAuth2> {
    let other_grant = [
        &raw.client_certificate_key,
        &raw.client_certificate_key_file,
        &raw.client_certificate_key_id,
        &raw.signature_algorithm,
        &raw.iss,
        &raw.audience,
        &raw.claims,
    ];
    let grant = raw.grant_type.as_deref().unwrap_or("client_credentials");
    if grant != "client_credentials" || other_grant.into_iter().any(Option::is_some) {
        faults.push("oauth2: of the grants only client_credentials is there: give client_secret and leave out grant_type and the keys of signed assertions");
    }
    if raw.client_id.is_empty() {
        faults.push("oauth2: client_id is missing");
    }
    let secret = faults.one_of(
        ("oauth2.client_secret", "client_secret_file"),
        raw.client_secret.clone().map(Secret::Text),
        raw.client_secret_file.as_ref().map(|file| Secret::File(context.folder.join(file))),
    );
    let raw_proxy = RawProxy {
        url: raw.proxy_url.as_deref(),
        exempt: raw.no_proxy.as_deref(),
        from_environment: raw.proxy_from_environment,
        connect_header: &raw.proxy_connect_header,
    };
    let proxy = proxy(raw_proxy, context, faults);
    let tls = raw.tls_config.as_ref().map(|it| tls(it, context.folder, faults));
    let token_url = url("oauth2.token_url", &raw.token_url, faults)?;
    Some(OAuth2 {
        client_id: raw.client_id.clone(),
        client_secret: secret.unwrap_or(Secret::Text(String::new())),
        token_url,
        scopes: raw.scopes.clone(),
        endpoint_params: raw.endpoint_params.clone(),
        tls: tls.unwrap_or_default(),
        proxy,
    })
}

/// An `http` or `https` URL with a host.
pub(super) fn url(key: &str, text: &str, faults: &mut Faults<'_>) -> Option<Url> {
    if text.is_empty() {
        faults.push(format!("{key} is missing"));
        return None;
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        Ok(_) => {
            faults.push(format!("{key} must begin with http:// or https:// and name a host"));
            None
        }
        Err(error) => {
            faults.push(format!("{key} is no URL: {error}"));
            None
        }
    }
}

fn proxy(raw: RawProxy<'_>, context: ClientContext<'_>, faults: &mut Faults<'_>) -> Proxy {
    // What templates leave empty is not given.
    let given = |text: &&str| !text.is_empty();
    let raw = RawProxy { url: raw.url.filter(given), exempt: raw.exempt.filter(given), ..raw };
    let mut connect_headers = Vec::new();
    for (name, values) in raw.connect_header {
        match name.parse() {
            Ok(name) => connect_headers.extend(
                values
                    .iter()
                    .map(|value| (http::HeaderName::clone(&name), Secret::Text(value.clone()))),
            ),
            Err(_) => faults.push(format!("proxy_connect_header: {name:?} is not a header name")),
        }
    }
    if raw.from_environment {
        if raw.url.is_some() || raw.exempt.is_some() {
            faults.push("give proxy_from_environment or proxy_url and no_proxy, not both");
        }
        let mut named = |name: &'static str| {
            let text = context
                .environment
                .get(&name.to_uppercase())
                .or_else(|| context.environment.get(name));
            text.and_then(|text| {
                let parsed = Proxy::parse(&text);
                parsed
                    .map_err(|fault| faults.push(format!("the environment's {name}: {fault}")))
                    .ok()
            })
        };
        let (http, https) = (named("http_proxy"), named("https_proxy"));
        let exempt =
            context.environment.get("NO_PROXY").or_else(|| context.environment.get("no_proxy"));
        let exempt = exempt.map(|list| Exempt::parse(&list)).unwrap_or_default();
        return Proxy { http, https, exempt, loopback_is_exempt: true, connect_headers };
    }
    let Some(text) = raw.url else {
        if raw.exempt.is_some() || !raw.connect_header.is_empty() {
            faults.push("no_proxy and proxy_connect_header are of use with a proxy only: give proxy_url or proxy_from_environment");
        }
        return Proxy::default();
    };
    let exempt = raw.exempt.map(Exempt::parse).unwrap_or_default();
    match Proxy::parse(text) {
        Ok(url) => Proxy {
            http: Some(url.clone()),
            https: Some(url),
            exempt,
            loopback_is_exempt: false,
            connect_headers,
        },
        Err(fault) => {
            faults.push(format!("proxy_url: {fault}"));
            Proxy::default()
        }
    }
}

fn extra_header(
    name: &str,
    raw: &RawHeader,
    folder: &Path,
    faults: &mut Faults<'_>,
) -> Option<ExtraHeader> {
    let texts = raw.values.iter().chain(&raw.secrets).cloned().map(Secret::Text);
    let files = raw.files.iter().map(|file| Secret::File(folder.join(file)));
    match settable(name) {
        Ok(name) => Some(ExtraHeader { name, values: texts.chain(files).collect() }),
        Err(fault) => {
            faults.push(format!("http_headers: {fault}"));
            None
        }
    }
}

fn basic_auth(raw: &RawBasicAuth, folder: &Path, faults: &mut Faults<'_>) -> Auth {
    let file = |path: &std::path::PathBuf| Secret::File(folder.join(path));
    let name = Some(&raw.username).filter(|name| !name.is_empty());
    let username = faults.one_of(
        ("basic_auth.username", "username_file"),
        name.cloned().map(Secret::Text),
        raw.username_file.as_ref().map(file),
    );
    let password = faults.one_of(
        ("basic_auth.password", "password_file"),
        raw.password.clone().map(Secret::Text),
        raw.password_file.as_ref().map(file),
    );
    let nothing = || Secret::Text(String::new());
    Auth::Basic {
        username: username.unwrap_or_else(nothing),
        password: password.unwrap_or_else(nothing),
    }
}

fn header_auth(raw: &RawAuthorization, folder: &Path, faults: &mut Faults<'_>) -> Auth {
    let scheme = raw.type_.as_deref().map(str::trim).filter(|scheme| !scheme.is_empty());
    let scheme = scheme.unwrap_or(AUTHORIZATION_TYPE_DEFAULT);
    if scheme.eq_ignore_ascii_case("basic") {
        faults.push("authorization.type cannot be Basic: use basic_auth");
    }
    let credentials = faults.one_of(
        ("authorization.credentials", "credentials_file"),
        raw.credentials.clone().map(Secret::Text),
        raw.credentials_file.as_ref().map(|file| Secret::File(folder.join(file))),
    );
    Auth::Header {
        scheme: scheme.to_owned(),
        credentials: credentials.unwrap_or(Secret::Text(String::new())),
    }
}

/// The TLS side that the keys describe.
fn tls(raw: &RawTls, folder: &Path, faults: &mut Faults<'_>) -> TlsOptions {
    let file = |path: &std::path::PathBuf| Pem::File(folder.join(path));
    let mut part = |names, text: &Option<String>, path: &Option<std::path::PathBuf>| {
        faults.one_of(names, text.clone().map(Pem::Text), path.as_ref().map(file))
    };
    let ca = part(("tls_config.ca", "ca_file"), &raw.ca, &raw.ca_file);
    let certificate = part(("tls_config.cert", "cert_file"), &raw.cert, &raw.cert_file);
    let key = part(("tls_config.key", "key_file"), &raw.key, &raw.key_file);
    if certificate.is_some() != key.is_some() {
        faults.push("tls_config: a certificate and its key go together");
    }
    TlsOptions {
        ca,
        identity: certificate.zip(key),
        server_name: raw.server_name.clone().filter(|name| !name.is_empty()),
        insecure_skip_verify: raw.insecure_skip_verify,
        min_version: tls_version("min_version", raw.min_version.as_deref(), faults),
        max_version: tls_version("max_version", raw.max_version.as_deref(), faults),
    }
}

/// Versions older than 1.2 are not spoken: as the oldest they allow what is, as the newest they leave nothing.
fn tls_version(key: &str, name: Option<&str>, faults: &mut Faults<'_>) -> Option<TlsVersion> {
    match name {
        None | Some("") => None,
        Some("TLS10" | "TLS11") if key == "min_version" => None,
        Some("TLS12") => Some(TlsVersion::Tls12),
        Some("TLS13") => Some(TlsVersion::Tls13),
        Some(name @ ("TLS10" | "TLS11")) => {
            faults.push(format!("tls_config.{key}: {name} is not spoken: TLS12 and TLS13 are"));
            None
        }
        Some(name) => {
            faults
                .push(format!("tls_config.{key}: {name:?} is none of TLS10, TLS11, TLS12, TLS13"));
            None
        }
    }
}
