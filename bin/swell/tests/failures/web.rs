//! The HTTP port behind passwords and TLS.

use swell_http::pki::Authority;
use swell_model::TimestampMs;

use crate::harness::{Folder, Server, has, run, wait_for, write};

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).expect("a hash")
}

fn query(server: &str, more: &[&str]) -> (i32, String, String) {
    run(&[&["query", "vector(7)", "--output", "json", "--server", server], more].concat())
}

#[test]
fn over_tls_only_known_users_get_in() {
    let folder = Folder::new();
    let now = TimestampMs(
        i64::try_from(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .expect("after 1970")
                .as_millis(),
        )
        .expect("in range"),
    );
    let authority = Authority::in_memory(now).expect("an authority");
    let identity = authority.issue_server("web", &["127.0.0.1"], now).expect("a certificate");
    let own = folder.file("cert.pem", identity.certificate_pem());
    folder.file("key.pem", identity.key_pem());
    let ca = folder.file("ca.pem", authority.certificate_pem());
    let stranger = Authority::in_memory(now).expect("an authority");
    let stranger = folder.file("stranger.pem", stranger.certificate_pem());
    let text = format!(
        "tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\nbasic_auth_users: {{ann: '{}'}}\n",
        hash("o:n/e")
    );
    let web = folder.file("web.yaml", &text);
    let server = Server::start(&folder.join("data"), &["--web.config.file", &web]);
    let at = |user: &str| format!("https://{user}{}", server.http);

    let (code, stdout, stderr) = query(&at("ann:o%3An%2Fe@"), &["--ca-file", &ca]);
    assert_eq!(code, 0, "{stderr}");
    has(&stdout, &["\"7\""]);
    // The server's own certificate as its authority
    assert_eq!(query(&at("ann:o%3An%2Fe@"), &["--ca-file", &own]).0, 0);
    for user in ["", "ann:one@", "eve:o%3An%2Fe@"] {
        let (code, _, stderr) = query(&at(user), &["--ca-file", &ca]);
        assert_ne!(code, 0);
        has(&stderr, &["401"]);
    }
    let (code, _, stderr) = query(&at("ann:o%3An%2Fe@"), &["--ca-file", &stranger]);
    assert_ne!(code, 0);
    has(&stderr, &["certificate"]);
    let (code, _, stderr) = query(&format!("http://{}", server.http), &[]);
    assert_ne!(code, 0, "{stderr}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn users_change_while_the_server_runs_and_a_broken_file_changes_nothing() {
    let folder = Folder::new();
    let users = |password: &str| format!("basic_auth_users: {{ann: '{}'}}\n", hash(password));
    let web = folder.file("web.yaml", &users("one"));
    let server = Server::start(&folder.join("data"), &["--web.config.file", &web]);
    let with = |password: &str| format!("http://ann:{password}@{}", server.http);
    assert_eq!(server.get("/api/v1/query?query=1").0, 401);
    assert_eq!(server.get("/").0, 401, "the web UI too");
    assert_eq!(query(&with("one"), &[]).0, 0);
    // Emptied, as a file that is met while it is written: nobody gets in by that.
    write(web.as_ref(), "");
    wait_for("word of the empty file", || {
        server.process.log().contains("nobody left").then_some(())
    });
    assert_eq!(server.get("/api/v1/query?query=1").0, 401);
    write(web.as_ref(), &users("two"));
    wait_for("the new password", || (query(&with("two"), &[]).0 == 0).then_some(()));
    assert_ne!(query(&with("one"), &[]).0, 0, "the old one is gone");
    write(web.as_ref(), "basic_auth_users: {ann: plain}\n");
    wait_for("word of the broken file", || {
        server.process.log().contains("\\\"ann\\\"").then_some(())
    });
    assert_eq!(query(&with("two"), &[]).0, 0, "what was in force is");
    assert_eq!(server.stop(), 0);

    let (code, _, stderr) = run(&[
        "server",
        "--data-dir",
        &folder.join("other").display().to_string(),
        "--listen-http",
        "127.0.0.1:0",
        "--web.config.file",
        &web,
    ]);
    assert_eq!(code, 1);
    has(&stderr, &["web.yaml", "ann", "htpasswd"]);
}
