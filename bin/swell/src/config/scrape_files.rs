//! `scrape_config_files:`, files that hold further jobs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;
use swell_model::first_document;

use super::raw_scrape::RawScrapeConfig;

/// A file with jobs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFile {
    scrape_configs: Vec<RawScrapeConfig>,
}

/// Jobs of one file, its folder and its text.
#[derive(Debug)]
pub(super) struct ScrapeFile {
    pub(super) folder: PathBuf,
    pub(super) text: String,
    pub(super) jobs: Vec<RawScrapeConfig>,
}

/// Reads the files; what is wrong with them goes to `faults`.
pub(super) fn read(paths: &[PathBuf], faults: &mut Vec<String>) -> Vec<ScrapeFile> {
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        match read_one(path) {
            Ok(file) => files.push(file),
            Err(why) => faults.push(format!("scrape_config_files: {}: {why}", path.display())),
        }
    }
    files
}

fn read_one(path: &Path) -> Result<ScrapeFile, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = first_document(&text).to_owned();
    let raw: RawFile = if text.trim().is_empty() {
        RawFile::default()
    } else {
        // Without the lines around: they may hold passwords.
        serde_saphyr::from_str(&text)
            .map_err(|error| error.without_snippet().render_with_formatter(&UserMessageFormatter))?
    };
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    Ok(ScrapeFile { folder, text, jobs: raw.scrape_configs })
}
