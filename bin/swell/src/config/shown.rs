//! The configuration as it is shown: defaults filled in, secrets hidden.

use std::collections::BTreeMap;

use super::filled;
use super::tree::Node;

/// Ends of keys whose values, and all that is below them, are not shown; letters of either case.
const SECRET_ENDS: [&str; 12] = [
    "secret",
    "secrets",
    "token",
    "password",
    "passphrase",
    "credential",
    "credentials",
    "key",
    "assertion",
    "connection_string",
    "signature",
    "webhook_url",
];
/// Whole keys of the same kind.
const SECRET_KEYS: [&str; 3] = ["api_url", "slack_api_url", "proxy_connect_header"];
/// Headers that are secret when a value is given for them; `authorization:` with fields below it is not one.
const SECRET_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];
/// Ends of keys whose values are addresses, with or without a scheme.
const ADDRESS_ENDS: [&str; 4] = ["url", "server", "host", "address"];
const HIDDEN: &str = "<secret>";

/// A configuration with its defaults and without its secrets, rendered anew: comments, which may hold any, are not in it.
pub(super) struct Shown(Option<Node>);

impl Shown {
    /// Of the text of a file; defaults are filled in.
    pub(super) fn of(text: &str) -> Self {
        Self(tree(text).map(filled::config))
    }

    /// The whole as YAML.
    pub(super) fn yaml(&self) -> String {
        // What is wrong is not said: it would quote the text.
        let unshown = || "# This configuration cannot be shown without its secrets.\n".to_owned();
        self.0.clone().and_then(yaml).unwrap_or_else(unshown)
    }

    /// Each job of it as YAML of its own, by name.
    pub(super) fn jobs(&self) -> BTreeMap<String, String> {
        self.0.iter().flat_map(jobs).cloned().filter_map(named).collect()
    }

    /// The same of a file with further jobs, which take over what is global here.
    pub(super) fn jobs_of(&self, text: &str) -> BTreeMap<String, String> {
        let global = self.0.as_ref().and_then(|whole| whole.get("global")).cloned();
        let global = global.unwrap_or_default();
        let further = tree(text);
        let further = further.iter().flat_map(jobs).cloned();
        further.filter_map(|job| named(filled::job(job, &global))).collect()
    }
}

/// What a text says; none of one that is no YAML.
fn tree(text: &str) -> Option<Node> {
    if text.trim().is_empty() {
        return Some(Node::Null);
    }
    serde_saphyr::from_str(text).ok()
}

fn jobs(whole: &Node) -> &[Node] {
    match whole.get("scrape_configs") {
        Some(Node::List(jobs)) => jobs,
        _ => &[],
    }
}

/// A job as YAML, with its name.
fn named(job: Node) -> Option<(String, String)> {
    let name = job.get("job_name").and_then(Node::text)?.to_owned();
    Some((name, yaml(job)?))
}

fn yaml(mut shown: Node) -> Option<String> {
    hide_values("", &mut shown);
    serde_saphyr::to_string(&shown).ok()
}

/// Hides what is secret in the value of a key, and below it.
fn hide_values(key: &str, value: &mut Node) {
    match value {
        Node::Map(fields) => {
            for (key, value) in fields {
                let is_header = SECRET_HEADERS.contains(&key.to_ascii_lowercase().as_str());
                if is_secret(key) || (is_header && !matches!(value, Node::Map(_) | Node::Null)) {
                    *value = HIDDEN.into();
                } else {
                    hide_values(key, value);
                }
            }
        }
        Node::List(values) => values.iter_mut().for_each(|value| hide_values(key, value)),
        Node::Text(text) => *text = hide_in_text(key, text),
        Node::Null | Node::Flag(_) | Node::Number(_) => {}
    }
}

/// Whether the value of a key is secret. One that ends in `_file` names where a secret stands, and is none.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_ENDS.iter().any(|end| key.ends_with(end)) || SECRET_KEYS.contains(&key.as_str())
}

/// A text without the users of addresses in it, nor the secret fields of their queries.
fn hide_in_text(key: &str, text: &str) -> String {
    let is_address = ADDRESS_ENDS.iter().any(|end| key.to_ascii_lowercase().ends_with(end));
    let start = text.find("://").map(|at| at + 3);
    let Some(start) = start.or(is_address.then(|| bare_start(text))) else {
        return text.to_owned();
    };
    let (head, tail) = text.split_at(start);
    // Anything else may stand in a password as it is.
    let end = tail.find(['/', '?', '#']).unwrap_or(tail.len());
    let (authority, rest) = tail.split_at(end);
    let authority = match authority.rfind('@') {
        Some(user_end) => format!("{HIDDEN}{}", &authority[user_end..]),
        None => authority.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((path, query)) => format!("{path}?{}", hide_in_query(query)),
        None => rest.to_owned(),
    };
    format!("{head}{authority}{rest}")
}

/// Where the user or host of an address begins that has no `://`: `http:/host` is one to those who read URLs.
fn bare_start(text: &str) -> usize {
    match text.find(':') {
        Some(colon) => {
            let rest = &text[colon + 1..];
            let slashes = rest.len() - rest.trim_start_matches(['/', '\\']).len();
            if slashes > 0 { colon + 1 + slashes } else { 0 }
        }
        None => 0,
    }
}

fn hide_in_query(query: &str) -> String {
    let shown = query.split('&').map(|field| match field.split_once('=') {
        Some((name, _)) if is_secret(name) || name == "sig" => format!("{name}={HIDDEN}"),
        _ => field.to_owned(),
    });
    shown.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Shown::of(text).yaml()
    }

    const TEXT: &str = r#"global: {scrape_interval: 1s} # once it was hunter2
scrape_configs:
- job_name: a
  basic_auth: {username: u, password: hunter2}
  proxy_url: http://me:hunter2@proxy:3128/x
  http_headers:
    X-One: {values: [shown], secrets: [hunter2]}
    X-Two:
      secrets:
      - hunter2
      files: [f]
  oauth2:
    client_id: shown_too
    client_secret: |
      hunter2
      hunter2
    token_url: https://t/
- job_name: b
  consul_sd_configs:
  - token: hunter2
    server: c:8500
"#;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        let shown = shown(TEXT);
        assert!(!shown.contains("hunter2"), "{shown}");
        for part in [
            "scrape_interval: 1s",
            "username: u",
            "http://<secret>@proxy:3128/x",
            "- shown",
            "- f",
            "client_id: shown_too",
            "token_url: https://t/",
            "job_name: b",
            "server: c:8500",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn a_job_is_shown_by_itself() {
        let jobs = Shown::of(TEXT).jobs();
        assert_eq!(jobs.keys().collect::<Vec<_>>(), ["a", "b"]);
        let shown = &jobs["a"];
        assert!(!shown.contains("hunter2"), "{shown}");
        for part in ["job_name: a", "username: u", "shown_too", "proxy:3128/x"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    /// One job with a line of its own, as it is shown in the whole; the secret stands in neither form.
    fn shown_with(line: &str) -> String {
        let text = format!("scrape_configs:\n- job_name: a\n  {line}\n");
        let shown = Shown::of(&text);
        let (whole, job) = (shown.yaml(), shown.jobs().remove("a").expect("the job"));
        for shown in [&whole, &job] {
            assert!(!shown.contains("hunter2") && shown.contains(HIDDEN), "{line}: {shown}");
        }
        whole
    }

    #[test]
    fn the_user_of_an_address_is_hidden() {
        for (line, left) in [
            ("proxy_url: me:hunter2@proxy:3128", "@proxy:3128"),
            ("proxy_url: hunter2@proxy:3128", "@proxy:3128"),
            ("proxy_url: http://me:hun,hunter2@p:1", "@p:1"),
            ("proxy_url: \"http://me:h}hunter2@p:1\"", "@p:1"),
            ("proxy_url: http:me:hunter2@p:1", "@p:1"),
            ("proxy_url: http:/me:hunter2@p:1", "@p:1"),
            ("consul_sd_configs: [{server: 'me:hunter2@c:8500'}]", "@c:8500"),
            ("http_sd_configs: [{url: 'https://me:hunter2@s/list?a=b'}]", "@s/list?a=b"),
        ] {
            assert!(shown_with(line).contains(left), "{line}");
        }
    }

    #[test]
    fn secret_keys_are_known_by_their_ends() {
        for line in [
            "password : hunter2",
            "basic_auth: { password : hunter2}",
            "\"password\": hunter2",
            "? password\n  : hunter2",
            "ec2_sd_configs: [{secret_key: hunter2}]",
            "sigv4: {secret_key: hunter2}",
            "openstack_sd_configs: [{application_credential_secret: hunter2}]",
            "discord_configs: [{webhook_url: 'https://d/x?access_token=hunter2'}]",
            "params: {access_token: [hunter2]}",
            "url: https://d/x?a=b&access_token=hunter2",
            "url: https://d/x?sig=hunter2",
            "headers: {Authorization: Bearer hunter2, X-Api-Key: hunter2}",
            "tls_config: {key: hunter2}",
            "oauth2: {client_secret: hunter2, endpoint_params: {client_assertion: hunter2}}",
            "azure_sd_configs: [&a {client_secret: hunter2}, *a]",
        ] {
            shown_with(line);
        }
        let number = shown("headers: {Cookie: 31337, X-Count: 4}\n");
        assert!(!number.contains("31337") && number.contains("X-Count: 4"), "{number}");
    }

    #[test]
    fn what_is_no_secret_stays() {
        let text = "a:\n  password_file: p\n  credentials_file: c\n  key_file: k\n  authorization: {type: T}\n  \
                    replacement: x@y:1\n  url: https://h/x?match=up\n  1: one\n";
        let told = shown(text);
        assert!(!told.contains(HIDDEN), "{told}");
        for part in ["password_file: p", "type: T", "x@y:1", "https://h/x?match=up", "one"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(shown("# only a remark about hunter2\n"), shown(""));
        assert!(!shown("a: [hunter2").contains("hunter2"));
    }
}
