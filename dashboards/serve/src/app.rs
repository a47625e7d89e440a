//! The files of the web app, as built into the binary.
//!
//! The document is the same for every page but for two things that are written into it: its title, and in `<base>` the
//! way up to the folder that the app is served in. All addresses in the app start there. So a page needs not be told below
//! which path the server stands, nor whether a proxy in front takes that path off.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};

static APP: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/dist");

/// What the page may load and do: its own files and API, nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'self'";

/// The document, and what stands in it where something else is written.
const DOCUMENT: &str = "index.html";
const BASE: &str = "<base href=\"/\" />";
const TITLE: &str = "<title>Swell</title>";

/// What the app is told of its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// Title of the document, and the end of every page's title.
    pub title: String,
    /// Where users find the app: nothing, or a path with a slash in front and none behind. Redirects lead below it.
    pub external_path: String,
}

/// Routes of the app. Its pages have addresses of their own, which all give the same document.
pub(crate) fn router(settings: AppSettings) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/workloads", get(page))
        .route("/workloads/{namespace}/{name}", get(page))
        .route("/explore", get(page))
        .route("/graph", get(explorer))
        .route("/query", get(explorer))
        .route("/mark.svg", get(file))
        .route("/assets/{*file}", get(file))
        .with_state(Arc::new(settings))
}

/// Prometheus' page of queries, which the addresses in alerts and templates name.
async fn explorer(State(settings): State<Arc<AppSettings>>, uri: Uri) -> Redirect {
    let address = explorer_address(uri.query().unwrap_or_default());
    Redirect::temporary(&format!("{}{address}", settings.external_path))
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

async fn page(State(settings): State<Arc<AppSettings>>, uri: Uri, headers: HeaderMap) -> Response {
    match APP.get_file(DOCUMENT).and_then(|file| file.contents_utf8()) {
        Some(text) => {
            answer(DOCUMENT, document(text, &settings.title, uri.path()).into_bytes(), &headers)
        }
        None => missing(),
    }
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    match APP.get_file(path) {
        Some(file) => answer(path, file.contents(), &headers),
        None => missing(),
    }
}

/// The document as the page at this path has it.
fn document(text: &str, title: &str, path: &str) -> String {
    let base = format!("<base href=\"{}\" />", way_up(path));
    let title = format!("<title>{}</title>", escaped(title));
    text.replacen(BASE, &base, 1).replacen(TITLE, &title, 1)
}

/// The way from a page to the folder of the app, as a relative address: pages lie as deep as their paths have slashes
/// beyond the first.
fn way_up(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        count => "../".repeat(count - 1),
    }
}

/// A text that stands for itself in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "no such file\n").into_response()
}

fn answer(path: &str, bytes: impl Into<Cow<'static, [u8]>>, headers: &HeaderMap) -> Response {
    let bytes = bytes.into();
    let etag = format!("\"{}-{:x}\"", swell_telemetry::VERSION, fnv1a(&bytes));
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
    (head, [(header::ETAG, etag)], bytes).into_response()
}

/// Tells builds apart: not a defence against anyone.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::Service as _;

    use super::*;

    fn index() -> &'static str {
        APP.get_file(DOCUMENT).expect("built").contents_utf8().expect("text")
    }

    async fn ask(settings: &AppSettings, path: &str, known: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(etag) = known {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let request = request.body(Body::empty()).expect("a request");
        let mut router = router(settings.clone());
        router.call(request).await.expect("routers do not fail")
    }

    async fn text(answer: Response) -> String {
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        String::from_utf8(bytes.to_vec()).expect("a text")
    }

    fn standard() -> AppSettings {
        AppSettings { title: "Swell".to_owned(), external_path: String::new() }
    }

    #[test]
    fn the_document_names_only_files_that_are_embedded_and_from_its_base() {
        let named: Vec<&str> = index()
            .split(['"', '\''])
            .filter(|part| part.contains("assets/") || part.contains("mark.svg"))
            .collect();
        assert!(named.len() >= 3, "{named:?}");
        for path in named {
            let inner = path.strip_prefix("./").expect("it starts at the base");
            assert!(APP.get_file(inner).is_some(), "{path}");
        }
    }

    #[test]
    fn the_document_has_places_for_what_is_written_into_it() {
        assert_eq!(index().matches(BASE).count(), 1);
        assert_eq!(index().matches(TITLE).count(), 1);
        // A base counts only for what stands behind it.
        let base = index().find(BASE).expect("there");
        let first = index().find("./").expect("files are named");
        assert!(base < first, "the base stands in front of all addresses");
    }

    #[tokio::test]
    async fn pages_know_the_way_up_and_their_title() {
        let settings = AppSettings { title: "a <b> & c".to_owned(), ..standard() };
        for (path, base) in [
            ("/", "./"),
            ("/explore", "./"),
            ("/explore?expr=a/b", "./"),
            ("/workloads", "./"),
            ("/workloads/demo/web", "../../"),
            ("/workloads/demo/a%2Fb", "../../"),
        ] {
            let answer = ask(&settings, path, None).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
            assert!(policy.contains("base-uri 'self'"), "{policy}");
            let page = text(answer).await;
            assert!(page.contains(&format!("<base href=\"{base}\" />")), "{path}: {page}");
            assert!(page.contains("<title>a &lt;b&gt; &amp; c</title>"), "{page}");
        }
        let page = text(ask(&standard(), "/explore", None).await).await;
        assert!(page.contains(TITLE), "{page}");
    }

    #[tokio::test]
    async fn redirects_lead_below_the_external_path() {
        for (external, path, expected) in [
            ("", "/graph?g0.expr=up", "/explore?expr=up"),
            ("/prom", "/graph?g0.expr=up", "/prom/explore?expr=up"),
            ("/a/b", "/query", "/a/b/explore"),
        ] {
            let settings = AppSettings { external_path: external.to_owned(), ..standard() };
            let answer = ask(&settings, path, None).await;
            assert!(answer.status().is_redirection(), "{path}");
            assert_eq!(answer.headers()[header::LOCATION], expected, "{external} {path}");
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

    #[tokio::test]
    async fn a_known_file_is_not_sent_again() {
        let etag = |answer: &Response| {
            answer.headers()[header::ETAG].to_str().expect("an etag").to_owned()
        };
        for path in ["/", "/workloads/demo/web", "/assets/index.js", "/mark.svg"] {
            let first = ask(&standard(), path, None).await;
            assert_eq!(first.status(), StatusCode::OK, "{path}");
            let again = ask(&standard(), path, Some(&etag(&first))).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
        let one = etag(&ask(&standard(), "/", None).await);
        let deeper = ask(&standard(), "/workloads/demo/web", Some(&one)).await;
        assert_eq!(deeper.status(), StatusCode::OK, "another base is another document");
        let nothing = ask(&standard(), "/assets/no/such/file", None).await;
        assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
    }
}
