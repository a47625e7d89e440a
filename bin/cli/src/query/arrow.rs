//! `query --output arrow`: raw samples of a selector, as the server streams them.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::{duration, server_time};
use crate::CliError;
use crate::args::QueryArgs;
use crate::http_api::stream;
use crate::output::Output;

const PATH: &str = "/api/swell/v1/arrow";

pub(super) async fn run(args: &QueryArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let usage = |what: &str| Err(CliError::Usage(what.to_owned()));
    let Some(range) = &args.range else {
        return usage(
            "--output arrow gives the samples of a stretch of time: name its length, such as --range 1h",
        );
    };
    if args.step.is_some() {
        return usage("--output arrow gives samples as they were stored: there is no --step");
    }
    let span = duration(range)?;
    let end = server_time(args).await?;
    let (start, end) = ((end - span.as_seconds()).to_string(), end.to_string());
    let params = [("match[]", args.expression.as_str()), ("start", &start), ("end", &end)];
    let Some(path) = &args.file else {
        if std::io::stdout().is_terminal() {
            return usage("Arrow is no text for a terminal: redirect the output, or name a --file");
        }
        return stream(&args.http, PATH, &params, &mut |piece| out.bytes(piece)).await;
    };
    // A stream that is cut leaves no file that looks whole.
    let mut unfinished = Unfinished::create(path)?;
    stream(&args.http, PATH, &params, &mut |piece| unfinished.append(piece)).await?;
    unfinished.finish(path)
}

/// A file under another name until it is whole; removed when it never is.
struct Unfinished {
    path: PathBuf,
    file: File,
    is_finished: bool,
}

impl Unfinished {
    fn create(target: &Path) -> Result<Self, CliError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let file = File::create(&path)
            .map_err(|source| CliError::WriteFile { path: path.clone(), source })?;
        Ok(Self { path, file, is_finished: false })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let fault = |source| CliError::WriteFile { path: self.path.clone(), source };
        self.file.write_all(bytes).map_err(fault)
    }

    fn finish(mut self, target: &Path) -> Result<(), CliError> {
        let fault = |source| CliError::WriteFile { path: target.to_owned(), source };
        self.file.sync_all().and_then(|()| std::fs::rename(&self.path, target)).map_err(fault)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // Whoever asked is told of the failure that led here.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
