//! Console templates, and files of the user's own, as Prometheus serves them: `/consoles/…` and `/user/…`.

use std::fs;
use std::io;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use swell_env::Clock;
use swell_http::openapi::{Answer, Kind, Operation, Parameter};
use swell_model::TimestampMs;
use swell_promql::QueryValue;
use swell_rules::{ConsoleData, InstantSample, InstantValue, QuerySource, render_console};
use swell_tsdb_http::{Api, ConfigState, PageQueries};
use tokio_util::io::ReaderStream;
use tracing::warn;

use crate::args::ConsoleArgs;

const CONSOLE: Parameter =
    Parameter::new("path", Kind::Text, "The file below the folder of consoles").required();
const ASSET: Parameter =
    Parameter::new("path", Kind::Text, "The file below the folder of --web.user-assets").required();

/// What the routes offer.
pub(super) const OPERATIONS: [Operation; 2] = [
    Operation::new(
        "GET",
        "/consoles/{*path}",
        "consoles",
        "Make the page of a console; its templates see all parameters",
        &[CONSOLE],
        Answer::Text("text/html"),
    ),
    Operation::new(
        "GET",
        "/user/{*path}",
        "consoles",
        "Give a file of the user's own",
        &[ASSET],
        Answer::Bytes("application/octet-stream"),
    ),
];

/// What consoles stand on.
pub(super) struct ConsoleDeps {
    pub(super) api: Arc<Api>,
    pub(super) in_force: ConfigState,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) external_url: String,
}

struct Consoles {
    deps: ConsoleDeps,
    templates: PathBuf,
    libraries: PathBuf,
}

/// A console as it was read, with the libraries by name.
struct Sources {
    text: String,
    libraries: Vec<(String, String)>,
}

/// An answer in words.
struct Refusal(StatusCode, String);

impl Refusal {
    fn internal(what: String, error: &dyn std::fmt::Display) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("{what}: {error}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(code, text) = self;
        (code, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], text + "\n").into_response()
    }
}

/// The routes.
pub(super) fn router(args: &ConsoleArgs, deps: ConsoleDeps) -> Router {
    let consoles = Consoles {
        deps,
        templates: args.console_templates.clone(),
        libraries: args.console_libraries.clone(),
    };
    let assets = Router::new()
        .route("/user/{*path}", get(asset))
        .with_state(Arc::new(args.user_assets.clone()));
    Router::new()
        .route("/consoles/{*path}", get(console))
        .with_state(Arc::new(consoles))
        .merge(assets)
}

async fn console(
    State(consoles): State<Arc<Consoles>>,
    Path(path): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, _) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let at = consoles.deps.clock.now();
    let (sources, path) = {
        let consoles = Arc::clone(&consoles);
        on_disk(move || consoles.sources(&path).map(|sources| (sources, path))).await?
    };
    let shown = path.clone();
    let make = {
        let consoles = Arc::clone(&consoles);
        move |queries: &PageQueries| {
            let page = consoles.page(&sources, &path, &parameters, at, queries);
            (page, queries.remarks())
        }
    };
    let made = consoles.deps.api.make_page(&head.extensions, make).await;
    let (page, remarks) = made.map_err(|refusal| Refusal(refusal.code, refusal.message))?;
    if !remarks.is_empty() {
        warn!(console = %shown, why = remarks.join("; "), "a console was made of answers that may be incomplete");
    }
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((head, page?).into_response())
}

async fn asset(
    State(folder): State<Arc<Option<PathBuf>>>,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    let media_type = media_type(&path);
    let missing = format!("there is no file {path:?}");
    let found = on_disk(move || {
        let file = (*folder).as_ref().and_then(|folder| beneath(folder, &path));
        file.ok_or(Refusal(StatusCode::NOT_FOUND, missing))
    })
    .await?;
    let file = tokio::fs::File::open(&found).await;
    let file =
        file.map_err(|error| Refusal::internal(format!("open {}", found.display()), &error))?;
    let head = [(header::CONTENT_TYPE, media_type), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((head, Body::from_stream(ReaderStream::new(file))).into_response())
}

/// Runs work that waits for the disk.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::internal("read files".to_owned(), &error)))
}

impl Consoles {
    /// Reads a console and all libraries, anew for each request, so that a change shows at once.
    fn sources(&self, path: &str) -> Result<Sources, Refusal> {
        let Some(file) = beneath(&self.templates, path) else {
            return Err(Refusal(StatusCode::NOT_FOUND, format!("there is no console {path:?}")));
        };
        Ok(Sources { text: read(&file)?, libraries: self.libraries()? })
    }

    /// Names and texts of the libraries, in the order of their names; none where there is no folder of them.
    fn libraries(&self) -> Result<Vec<(String, String)>, Refusal> {
        let folder = &self.libraries;
        let fault =
            |error: io::Error| Refusal::internal(format!("read {}", folder.display()), &error);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(fault)?,
        };
        let mut libraries = Vec::new();
        for entry in entries {
            let path = entry.map_err(fault)?.path();
            if path.extension().is_some_and(|end| end == "lib") && path.is_file() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                libraries.push((name, read(&path)?));
            }
        }
        libraries.sort();
        Ok(libraries)
    }

    /// Makes a page, asking its queries as it goes.
    fn page(
        &self,
        sources: &Sources,
        path: &str,
        parameters: &[(String, String)],
        at: TimestampMs,
        queries: &PageQueries,
    ) -> Result<String, Refusal> {
        let in_force = self.deps.in_force.current();
        let data = ConsoleData {
            path: path.trim_start_matches('/'),
            parameters,
            external_labels: &in_force.external_labels,
            external_url: &self.deps.external_url,
            now: at,
            queries: &Asked { queries, at },
        };
        render_console(&sources.text, &sources.libraries, &data)
            .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }
}

/// The queries of one page, all of one instant.
struct Asked<'a> {
    queries: &'a PageQueries,
    at: TimestampMs,
}

impl QuerySource for Asked<'_> {
    fn query(&self, expr: &str) -> Result<InstantValue, String> {
        match self.queries.instant(expr, self.at)? {
            QueryValue::Scalar(point) => Ok(InstantValue::Scalar(point.value)),
            QueryValue::Vector(samples) => {
                let samples = samples
                    .into_iter()
                    .map(|sample| InstantSample { labels: sample.labels, value: sample.value });
                Ok(InstantValue::Vector(samples.collect()))
            }
            QueryValue::String(..) | QueryValue::Matrix(_) => {
                Err("a query of a console must give a scalar or an instant vector".to_owned())
            }
        }
    }
}

/// The file that a path from outside names below a folder; none where there is none, nor where it lies elsewhere, by `..` or
/// by a link.
fn beneath(folder: &FilePath, path: &str) -> Option<PathBuf> {
    let path = FilePath::new(path.trim_start_matches('/'));
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    // Whatever keeps it from being found, to who asks it is not there.
    let folder = folder.canonicalize().ok()?;
    let file = folder.join(path).canonicalize().ok()?;
    (file.starts_with(&folder) && file.is_file()).then_some(file)
}

fn read(file: &FilePath) -> Result<String, Refusal> {
    let text = fs::read_to_string(file);
    text.map_err(|error| Refusal::internal(format!("read {}", file.display()), &error))
}

/// By the end of a file's name.
fn media_type(path: &str) -> &'static str {
    let end = path.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    match end.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_of_the_folder_is_found() {
        let all = tempfile::tempdir().expect("a folder");
        let folder = all.path().join("consoles");
        fs::create_dir_all(folder.join("deep")).expect("made");
        for name in ["secret", "consoles/a.html", "consoles/deep/b.html"] {
            fs::write(all.path().join(name), name).expect("written");
        }
        symlink(all.path().join("secret"), folder.join("out.html")).expect("linked");
        symlink(folder.join("a.html"), folder.join("in.html")).expect("linked");
        symlink(all.path(), folder.join("up")).expect("linked");
        for (path, is_found) in [
            ("a.html", true),
            ("/a.html", true),
            ("deep/b.html", true),
            ("in.html", true),
            ("out.html", false),
            ("up/secret", false),
            ("../secret", false),
            ("deep/../a.html", false),
            ("deep/../../secret", false),
            ("./a.html", false),
            ("deep", false),
            ("", false),
            ("none.html", false),
            ("a.html\0", false),
        ] {
            assert_eq!(beneath(&folder, path).is_some(), is_found, "{path:?}");
        }
        assert!(beneath(&all.path().join("no-folder"), "a.html").is_none());
    }

    #[test]
    fn files_are_of_the_type_that_their_name_says() {
        for (path, expected) in [
            ("a.HTML", "text/html; charset=utf-8"),
            ("deep/app.min.js", "text/javascript; charset=utf-8"),
            ("logo.svg", "image/svg+xml"),
            ("none", "application/octet-stream"),
        ] {
            assert_eq!(media_type(path), expected, "{path}");
        }
    }
}
