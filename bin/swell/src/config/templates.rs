//! Files of templates that an Alertmanager configuration names.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Paths and texts of the files that `templates:` names by patterns, which start at `folder`; a pattern without files
/// is fine, as with Alertmanager. Of a configuration with faults none are read: who checks it says so.
pub(crate) fn read(config: &str, folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let patterns = swell_route::parse_config(config).map(|it| it.templates).unwrap_or_default();
    let mut files = Vec::new();
    for pattern in patterns {
        let path = folder.join(&pattern);
        let found = glob::glob(&path.to_string_lossy())
            .with_context(|| format!("templates: {pattern:?}"))?;
        for file in found {
            let file = file.with_context(|| format!("templates: {pattern:?}"))?;
            let shown = file.display().to_string();
            let text = fs::read_to_string(&file);
            files.push((shown.clone(), text.with_context(|| format!("templates: read {shown}"))?));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_start_at_the_folder_and_may_find_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "{{ define \"title\" }}{{ .Status }}{{ end }}";
        fs::write(folder.path().join("a.tmpl"), text).expect("written");
        let config = |patterns: &str| {
            format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\ntemplates: [{patterns}]\n")
        };
        let found = read(&config("'*.tmpl', 'more/*.tmpl'"), folder.path()).expect("read");
        assert_eq!(found.len(), 1);
        assert!(found[0].0.ends_with("a.tmpl") && found[0].1 == text, "{found:?}");
        assert!(read(&config("'***'"), folder.path()).is_err());
        assert!(read("route: [", folder.path()).expect("told elsewhere").is_empty());
    }
}
