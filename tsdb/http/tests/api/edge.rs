//! What happens around every request.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};

use swell_tsdb_http::{ApiConfig, Origins};

use super::lab::{Lab, config};

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn the_api_answers_once_the_server_is_ready() {
    let lab = Lab::starting(config());
    for path in ["/api/v1/query?query=1", "/api/v1/labels", "/api/v1/status/buildinfo"] {
        let answer = lab.get(path, &[]).await;
        assert_eq!((answer.code, answer.text.as_str()), (503, "Service Unavailable"), "{path}");
        assert_eq!(answer.headers["x-prometheus-stopping"], "false");
    }
    lab.get("/api/v1/status/walreplay", &[]).await.data();
    assert_eq!(lab.get("/metrics", &[]).await.code, 200);
    lab.readiness.ready();
    lab.get("/api/v1/query?query=1", &[]).await.data();
    lab.readiness.stopping();
    let answer = lab.get("/api/v1/query?query=1", &[]).await;
    assert_eq!(
        (answer.code, header(&answer.headers, "x-prometheus-stopping")),
        (503, Some("true"))
    );
}

#[tokio::test]
async fn pages_of_other_origins_may_read() {
    let lab = Lab::new();
    let origin = [("origin", "https://grafana.example")];
    let preflight = lab.answer(request(Method::OPTIONS, "/api/v1/query", &origin)).await;
    assert_eq!(preflight.code, 204);
    let good = lab.answer(request(Method::GET, "/api/v1/query?query=1", &origin)).await;
    assert_eq!(good.code, 200);
    let bad = lab.answer(request(Method::GET, "/api/v1/query?query=(", &origin)).await;
    assert_eq!(bad.code, 400);
    for answer in [&preflight, &good, &bad] {
        let headers = &answer.headers;
        assert_eq!(header(headers, "access-control-allow-origin"), Some("*"));
        let methods = header(headers, "access-control-allow-methods");
        assert_eq!(methods, Some("GET, POST, OPTIONS"));
        assert!(header(headers, "vary").is_some_and(|vary| vary.contains("Origin")));
    }
    let same = lab.get("/api/v1/query?query=1", &[]).await;
    assert_eq!(header(&same.headers, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn pages_of_origins_that_are_not_named_may_not_read() {
    let origins = Origins::matching(r"https://(grafana|status)\.example").expect("a pattern");
    let lab = Lab::with(ApiConfig { origins, ..config() });
    for (origin, allowed) in [
        ("https://grafana.example", Some("https://grafana.example")),
        ("https://status.example", Some("https://status.example")),
        ("https://grafana.example.evil", None),
        ("http://grafana.example", None),
        ("null", None),
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let asked = request(method, "/api/v1/query?query=1", &[("origin", origin)]);
            let answer = lab.answer(asked).await;
            assert_eq!(header(&answer.headers, "access-control-allow-origin"), allowed, "{origin}");
            assert!(header(&answer.headers, "vary").is_some_and(|vary| vary.contains("Origin")));
        }
    }
    assert!(Origins::matching("(").is_err());
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_accept() {
    let lab = Lab::new();
    let accept = [("accept-encoding", "gzip")];
    let long = "/api/v1/query_range?query=up&start=1699999000&end=1700000000&step=1";
    let answer = lab.answer(request(Method::GET, long, &accept)).await;
    assert_eq!(header(&answer.headers, "content-encoding"), Some("gzip"));
    assert_eq!(answer.data(), lab.get(long, &[]).await.data());
    assert_eq!(header(&lab.get(long, &[]).await.headers, "content-encoding"), None);
    let deflate = [("accept-encoding", "deflate")];
    let answer = lab.answer(request(Method::GET, long, &deflate)).await;
    assert_eq!(header(&answer.headers, "content-encoding"), Some("deflate"));
    assert_eq!(answer.data(), lab.get(long, &[]).await.data());
    let short = "/api/v1/query?query=1";
    let answer = lab.answer(request(Method::GET, short, &accept)).await;
    assert_eq!(header(&answer.headers, "content-encoding"), None);
    let metrics = lab.answer(request(Method::GET, "/metrics", &accept)).await;
    assert_eq!(header(&metrics.headers, "content-encoding"), Some("gzip"));
    assert!(metrics.text.contains("# TYPE "));
}

#[tokio::test]
async fn paths_that_lead_nowhere_are_told_in_json() {
    let lab = Lab::new();
    lab.get("/api/v1/nowhere", &[]).await.is_error(404, "not_found", "\"/api/v1/nowhere\"");
    lab.post("/api/v1/label/a/b", &[]).await.is_error(404, "not_found", "endpoint");
    assert_eq!(lab.post("/api/v1/targets", &[]).await.code, 405);
}

#[tokio::test]
async fn markup_and_line_breaks_stay_text_of_their_type() {
    let lab = Lab::new();
    let markup = "%3Cscript%3Ealert(1)%3C/script%3E";
    let breaks = "1%0D%0ASet-Cookie:%20a=b%0D%0A%0D%0Abody";
    for text in [markup, breaks] {
        for path in [
            format!("/api/v1/query?query={text}"),
            format!("/api/v1/query?query=1&time={text}"),
            format!("/api/v1/query?query=1&stats={text}"),
            format!("/api/v1/label/{text}/values"),
            format!("/api/v1/series?match[]=%7Ba%3D%22{text}%22%7D"),
            format!("/api/v1/nowhere/{text}"),
            format!("/api/v1/format_query?query=%22{text}%22"),
        ] {
            let answer = lab.answer(request(Method::GET, &path, &[])).await;
            let headers = &answer.headers;
            assert_eq!(header(headers, "content-type"), Some("application/json"), "{path}");
            assert_eq!(header(headers, "x-content-type-options"), Some("nosniff"), "{path}");
            for name in ["set-cookie", "location"] {
                assert_eq!(header(headers, name), None, "{path}");
            }
            serde_json::from_str::<serde_json::Value>(&answer.text).expect("JSON");
        }
    }
}
