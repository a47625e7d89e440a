//! The configuration as it is shown: secrets hidden.

use std::collections::BTreeMap;

use serde_json::Value;

/// Keys whose values, and all that is below them, are not shown.
const SECRET_KEYS: [&str; 13] = [
    "secret_access_key",
    "password",
    "credentials",
    "bearer_token",
    "client_secret",
    "routing_key",
    "service_key",
    "api_url",
    "secret",
    "secrets",
    "token",
    "proxy_connect_header",
    "key",
];
const HIDDEN: &str = "<secret>";

/// The text with the values of secret keys replaced, and comments and order as they were. Works by lines: the key of
/// a line decides on it and on the lines below that are further in.
pub(super) fn hide_secrets(text: &str) -> String {
    let mut shown = Vec::new();
    // How far in the key stands whose value goes on.
    let mut hiding: Option<usize> = None;
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(key_indent) = hiding {
            let goes_on = indent > key_indent
                || content.is_empty()
                || (indent == key_indent && content.starts_with("- "));
            if goes_on {
                continue;
            }
            hiding = None;
        }
        let dashes = content.len() - content.trim_start_matches("- ").len();
        match secret_key(line) {
            Some(head) => {
                shown.push(format!("{head}: {HIDDEN}"));
                hiding = Some(indent + dashes);
            }
            None => shown.push(hide_user(line)),
        }
    }
    shown.join("\n")
}

/// The part of a line up to its first secret key, if it has one.
fn secret_key(line: &str) -> Option<&str> {
    let mut at = 0;
    while let Some(colon) = line[at..].find(':').map(|found| at + found) {
        let head = &line[..colon];
        let key = head.rsplit([' ', ',', '{', '[']).next().unwrap_or(head);
        let rest = &line[colon + 1..];
        let is_key = rest.is_empty() || rest.starts_with(' ') || key.ends_with(['"', '\'']);
        if is_key && SECRET_KEYS.contains(&key.trim_matches(['"', '\''])) {
            return Some(head);
        }
        at = colon + 1;
    }
    None
}

/// A line without the passwords of URLs in it.
fn hide_user(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        shown.push_str(head);
        let end = tail.find(['/', ' ', '"', '\'', ',', '}', ']', '?']).unwrap_or(tail.len());
        match tail[..end].rfind('@') {
            Some(user_end) => {
                shown.push_str(HIDDEN);
                rest = &tail[user_end..];
            }
            None => rest = tail,
        }
    }
    shown + rest
}

/// Each job of `scrape_configs:` as YAML of its own, by name.
pub(super) fn jobs(text: &str) -> BTreeMap<String, String> {
    let whole: Value = serde_saphyr::from_str(text).unwrap_or_default();
    let mut jobs = BTreeMap::new();
    for job in whole["scrape_configs"].as_array().into_iter().flatten() {
        let mut job = job.clone();
        hide_values(&mut job);
        if let (Some(name), Ok(yaml)) = (job["job_name"].as_str(), serde_saphyr::to_string(&job)) {
            jobs.insert(name.to_owned(), yaml);
        }
    }
    jobs
}

fn hide_values(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if SECRET_KEYS.contains(&key.as_str()) {
                    *value = Value::String(HIDDEN.to_owned());
                } else {
                    hide_values(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide_values),
        Value::String(text) => *text = hide_user(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"global: {scrape_interval: 1s} # said once
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
        let shown = hide_secrets(TEXT);
        assert!(!shown.contains("hunter2"), "{shown}");
        for part in [
            "# said once",
            "username: u",
            "http://<secret>@proxy:3128/x",
            "values: [shown]",
            "files: [f]",
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
        let jobs = jobs(TEXT);
        assert_eq!(jobs.keys().collect::<Vec<_>>(), ["a", "b"]);
        let shown = &jobs["a"];
        assert!(!shown.contains("hunter2"), "{shown}");
        for part in ["job_name: a", "username: u", "shown_too", "proxy:3128/x"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
