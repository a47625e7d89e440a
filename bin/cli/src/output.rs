//! Text for people and data for programs. Standard output has data only.

use std::io::Write;

use serde_json::Value;

use crate::CliError;

/// Where the text goes.
pub(crate) struct Output<'a>(&'a mut dyn Write);

impl<'a> Output<'a> {
    /// Writes to `sink`.
    pub(crate) fn new(sink: &'a mut dyn Write) -> Self {
        Self(sink)
    }

    /// One line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.0, "{text}").map_err(CliError::Write)
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.0.write_all(bytes).and_then(|()| self.0.flush()).map_err(CliError::Write)
    }

    /// A value as JSON, indented.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| CliError::Usage(format!("print JSON: {error}")))?;
        self.line(&text)
    }

    /// A value as one YAML document.
    pub(crate) fn yaml(&mut self, value: &Value) -> Result<(), CliError> {
        self.bytes(to_yaml(value)?.as_bytes())
    }

    /// Rows in columns: as wide as their widest cell, three spaces apart, no frames.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
        let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
        for row in rows {
            for (idx, cell) in row.iter().enumerate().take(widths.len()) {
                widths[idx] = widths[idx].max(cell.chars().count());
            }
        }
        let mut print = |cells: &[&str]| {
            let mut text = String::new();
            for (idx, cell) in cells.iter().enumerate() {
                text.push_str(cell);
                if idx + 1 < cells.len() {
                    let used = cell.chars().count();
                    let width = widths.get(idx).copied().unwrap_or(used);
                    text.extend(std::iter::repeat_n(' ', width.saturating_sub(used) + 3));
                }
            }
            self.line(text.trim_end())
        };
        print(head)?;
        for row in rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            print(&cells)?;
        }
        Ok(())
    }
}

/// A value as YAML text.
pub(crate) fn to_yaml(value: &Value) -> Result<String, CliError> {
    serde_saphyr::to_string(value).map_err(|error| CliError::Usage(format!("print YAML: {error}")))
}

/// The message of a `Status`, or the body itself.
pub(crate) fn status_message(body: &[u8]) -> String {
    serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|status| status["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_widest_cell() {
        let mut text = Vec::new();
        let rows = [
            vec!["web".to_owned(), "3/3".to_owned()],
            vec!["a-long-name".to_owned(), "0/1".to_owned()],
        ];
        Output::new(&mut text).table(&["NAME", "READY"], &rows).expect("a vector takes all");
        assert_eq!(
            String::from_utf8(text).expect("text"),
            "NAME          READY\nweb           3/3\na-long-name   0/1\n"
        );
    }
}
