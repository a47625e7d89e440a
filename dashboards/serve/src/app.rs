//! The files of the web app, as built into the binary.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};

static APP: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/dist");

/// What the page may load and do: its own files and API, nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// Routes of the app. Its pages have addresses of their own, which all give the same document.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/workloads", get(page))
        .route("/workloads/{namespace}/{name}", get(page))
        .route("/explore", get(page))
        .route("/graph", get(explorer))
        .route("/query", get(explorer))
        .route("/mark.svg", get(file))
        .route("/assets/{*file}", get(file))
}

/// Prometheus' page of queries, which the addresses in alerts and templates name.
async fn explorer(uri: Uri) -> Redirect {
    Redirect::temporary(&explorer_address(uri.query().unwrap_or_default()))
}

/// The explorer with the first query of such an address. The expression stays encoded as it is: both are decoded as forms.
fn explorer_address(query: &str) -> String {
    let given = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let mut address = "/explore".to_owned();
    if let Some(expression) = given("g0.expr").filter(|it| !it.is_empty()) {
        address.push_str("?expr=");
        address.push_str(expression);
        if matches!(given("g0.tab"), Some("1" | "table")) {
            address.push_str("&view=table");
        }
    }
    address
}

async fn page(headers: HeaderMap) -> Response {
    answer("index.html", &headers)
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    answer(uri.path().trim_start_matches('/'), &headers)
}

fn answer(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = APP.get_file(path) else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let etag = format!("\"{}-{:x}\"", swell_telemetry::VERSION, fnv1a(file.contents()));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known == Some(etag.as_str()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let media_type = match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let head = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    (head, [(header::ETAG, etag)], file.contents()).into_response()
}

/// Tells builds apart: not a defence against anyone.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_only_files_that_are_embedded() {
        let index = APP.get_file("index.html").expect("built").contents_utf8().expect("text");
        let named: Vec<&str> = index
            .split(['"', '\''])
            .filter(|part| part.starts_with("/assets/") || part.starts_with("/mark"))
            .collect();
        assert!(named.len() >= 3, "{named:?}");
        for path in named {
            assert!(APP.get_file(path.trim_start_matches('/')).is_some(), "{path}");
        }
    }

    #[test]
    fn addresses_of_prometheus_page_keep_their_query() {
        for (query, expected) in [
            ("", "/explore"),
            ("g0.expr=&g0.tab=1", "/explore"),
            ("g0.expr=up", "/explore?expr=up"),
            ("g0.expr=up+%3D%3D+0&g0.tab=1", "/explore?expr=up+%3D%3D+0&view=table"),
            ("g0.range_input=1h&g0.tab=table&g0.expr=a%26b", "/explore?expr=a%26b&view=table"),
            (
                "g0.expr=a%7Bb%3D%22%C3%A9%22%7D&g0.tab=0&g1.expr=c",
                "/explore?expr=a%7Bb%3D%22%C3%A9%22%7D",
            ),
            ("g0.expr=a=b", "/explore?expr=a=b"),
        ] {
            assert_eq!(explorer_address(query), expected, "{query}");
        }
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let first = answer("index.html", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        let etag = first.headers().get(header::ETAG).expect("an etag").clone();
        headers.insert(header::IF_NONE_MATCH, etag);
        assert_eq!(answer("index.html", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("no/such/file", &headers).status(), StatusCode::NOT_FOUND);
    }
}
