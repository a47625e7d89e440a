//! Who asks whom: credentials and certificates.

use std::sync::Arc;

use swell_env::{Clock as _, SystemClock};
use swell_http::pki::{Authority, ClientAuth, server_config};
use swell_http_client::{Auth, Pem, Secret, TlsOptions};

use super::lab::{Answer, Lab, TEXT, Target, job};
use crate::Scheme;

fn text(secret: &str) -> Secret {
    Secret::Text(secret.to_owned())
}

#[tokio::test]
async fn credentials_are_shown_and_read_anew_from_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    std::fs::write(&file, "first\n").expect("written");
    let target = Target::text("a 1\n").await;
    let mut config = job(&[&target]);
    config.client.auth =
        Auth::Header { scheme: "Bearer".to_owned(), credentials: Secret::File(file.clone()) };
    let lab = Lab::start(vec![config.clone()]);
    let shows = |text: &str| target.asked() && target.request().1["authorization"] == text;
    lab.until("the first", |_| shows("Bearer first")).await;
    std::fs::write(&file, "second").expect("written");
    lab.until("the second", |_| shows("Bearer second")).await;
    std::fs::remove_file(&file).expect("removed");
    lab.until_error("read the secret file").await;
    lab.stop().await;
    config.client.auth = Auth::Basic { username: text("u"), password: text("p") };
    let lab = Lab::start(vec![config]);
    lab.until("basic", |_| shows("Basic dTpw")).await;
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = Target::text("a 1\n").await;
    let target = Target::start(Answer::Redirect(format!("http://{}/", other.addr))).await;
    let mut config = job(&[&target]);
    config.client.auth = Auth::Header { scheme: "Bearer".to_owned(), credentials: text("t") };
    let lab = Lab::start(vec![config]);
    lab.until_last("a", "1").await;
    assert_eq!(target.request().1["authorization"], "Bearer t");
    assert!(other.request().1.get("authorization").is_none());
}

#[tokio::test]
async fn secrets_do_not_show() {
    let auth = Auth::Basic { username: text("u"), password: text("hunter2") };
    assert!(!format!("{auth:?}").contains("hunter2"));
}

#[tokio::test]
async fn certificates_are_checked_and_shown() {
    let now = SystemClock::new().now();
    let authority = Authority::in_memory(now).expect("an authority");
    let identity = authority.issue_server("t", &["127.0.0.1", "x.test"], now).expect("issued");
    let tls = server_config(&identity, authority.certificate_pem(), ClientAuth::Required);
    let target = Target::start_with(
        Answer::Body(TEXT, "a 1\n".to_owned()),
        Some(tls.expect("a TLS server")),
    )
    .await;
    let client = authority.issue_client("scraper", "swell", now).expect("issued");
    let ours = TlsOptions {
        ca: Some(Pem::Text(authority.certificate_pem().to_owned())),
        identity: Some((
            Pem::Text(client.certificate_pem().to_owned()),
            Pem::Text(client.key_pem().to_owned()),
        )),
        ..TlsOptions::default()
    };
    let stranger = Authority::in_memory(now).expect("an authority");
    let foreign = Some(Pem::Text(stranger.certificate_pem().to_owned()));
    let base = Arc::new(job(&[&target]));
    let with = |tls: TlsOptions| {
        let mut config = (*base).clone();
        config.scheme = Scheme::Https;
        // A handshake takes longer than a plain scrape in a debug build.
        config.interval.0 = 1000;
        config.timeout.0 = 1000;
        config.client.tls = tls;
        Lab::start(vec![config])
    };
    for good in [
        ours.clone(),
        TlsOptions { server_name: Some("x.test".to_owned()), ..ours.clone() },
        TlsOptions { insecure_skip_verify: true, ca: None, ..ours.clone() },
    ] {
        let lab = with(good);
        lab.until_last("a", "1").await;
        lab.stop().await;
    }
    for (bad, part) in [
        (TlsOptions { ca: foreign, ..ours.clone() }, "invalid peer certificate"),
        (TlsOptions { server_name: Some("y.test".to_owned()), ..ours.clone() }, "y.test"),
        (TlsOptions { identity: None, ..ours.clone() }, "CertificateRequired"),
    ] {
        let lab = with(bad);
        lab.until_error(part).await;
        lab.stop().await;
    }
}

#[tokio::test]
async fn certificates_that_are_replaced_in_their_files_count_from_the_next_connection() {
    let now = SystemClock::new().now();
    let authority = Authority::in_memory(now).expect("an authority");
    let identity = authority.issue_server("t", &["127.0.0.1"], now).expect("issued");
    let tls = server_config(&identity, authority.certificate_pem(), ClientAuth::Required);
    let tls = tls.expect("a TLS server");
    let target = Target::start_with(Answer::Body(TEXT, "a 1\n".to_owned()), Some(tls)).await;
    let stranger = Authority::in_memory(now).expect("an authority");
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| dir.path().join(name);
    let put = |name: &str, text: &str| std::fs::write(file(name), text).expect("written");
    let give = |authority: &Authority| {
        let client = authority.issue_client("scraper", "swell", now).expect("issued");
        put("client.pem", client.certificate_pem());
        // Between the two they do not fit each other.
        put("client.key", client.key_pem());
    };
    put("ca.pem", stranger.certificate_pem());
    give(&stranger);
    let mut config = job(&[&target]);
    config.scheme = Scheme::Https;
    config.interval.0 = 500;
    config.timeout.0 = 500;
    config.client.tls = TlsOptions {
        ca: Some(Pem::File(file("ca.pem"))),
        identity: Some((Pem::File(file("client.pem")), Pem::File(file("client.key")))),
        ..TlsOptions::default()
    };
    let lab = Lab::start(vec![config]);
    lab.until_error("invalid peer certificate").await;
    put("ca.pem", authority.certificate_pem());
    give(&authority);
    lab.until_last("a", "1").await;
    // What is no certificate changes nothing.
    put("ca.pem", "nothing");
    target.says("a 2\n");
    lab.until_last("a", "2").await;
    lab.stop().await;
}

#[tokio::test]
async fn tls_options_that_cannot_be_used_are_told_at_once() {
    let target = Target::text("a 1\n").await;
    for (tls, part) in [
        (
            TlsOptions { ca: Some(Pem::File("/nowhere/ca.pem".into())), ..TlsOptions::default() },
            "/nowhere/ca.pem",
        ),
        (
            TlsOptions { ca: Some(Pem::Text("no pem".to_owned())), ..TlsOptions::default() },
            "holds no certificate",
        ),
        (
            TlsOptions {
                server_name: Some("not a name".to_owned()),
                insecure_skip_verify: true,
                ..TlsOptions::default()
            },
            "\"not a name\"",
        ),
    ] {
        let mut config = job(&[&target]);
        config.client.tls = tls;
        let Err(error) = Lab::try_start(vec![config]) else { panic!("{part}: refused") };
        let text = swell_telemetry::chain(&error);
        assert!(text.contains("job \"j\"") && text.contains(part), "{text}");
    }
}
