//! Where the first of several YAML documents in one text ends.

/// The first YAML document of a text, with what stands before it: the one that counts where a single one is asked for,
/// as in Prometheus. Lines keep their numbers.
#[must_use]
pub fn first_document(text: &str) -> &str {
    let (mut has_begun, mut end) = (false, 0);
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches('\u{feff}');
        let is_start = is_marker(content, "---");
        if has_begun && (is_start || is_marker(content, "...")) {
            return &text[..end];
        }
        // Directives and comments belong to no document.
        let is_outside = content.starts_with(['%', '#'])
            || content.trim().is_empty()
            || is_marker(content, "...");
        has_begun |= is_start || !(is_outside || content.trim_start().starts_with('#'));
        end += line.len();
    }
    text
}

/// Whether a line begins with a marker of a document. Within quotes and block texts, too, no line may begin so.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_document_ends_before_the_next_marker() {
        for (text, expected) in [
            ("", ""),
            ("a: 1", "a: 1"),
            ("a: 1\n---\n", "a: 1\n"),
            ("a: 1\n---", "a: 1\n"),
            ("a: 1\r\n---\r\nb: 2\r\n", "a: 1\r\n"),
            ("a: 1\n...\nb: 2\n", "a: 1\n"),
            ("---\na: 1\n--- # next\nb: 2\n", "---\na: 1\n"),
            ("# c\n\n  # d\n--- {a: 1}\n---\tb\n", "# c\n\n  # d\n--- {a: 1}\n"),
            ("%YAML 1.2\n---\na: 1\n---\nb: 2", "%YAML 1.2\n---\na: 1\n"),
            ("\u{feff}---\na: 1\n", "\u{feff}---\na: 1\n"),
            ("...\n---\na: 1\n---\n", "...\n---\na: 1\n"),
            ("---\n---\na: 1\n", "---\n"),
            ("a: |\n  x\n  ---\n  y\n", "a: |\n  x\n  ---\n  y\n"),
            ("----\na---: 1\n...x: 2\n", "----\na---: 1\n...x: 2\n"),
        ] {
            assert_eq!(first_document(text), expected, "{text:?}");
        }
    }
}
