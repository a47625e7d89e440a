//! Series as text, the way [`crate::SeriesText`] reads it.

/// A name with a suffix, and labels in braces.
pub(crate) fn write_series<'p>(
    out: &mut String,
    name: &str,
    suffix: &str,
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
) {
    let bare = is_bare(name) && is_bare_rest(suffix);
    if bare {
        out.push_str(name);
        out.push_str(suffix);
    }
    out.push('{');
    if !bare {
        write_quoted(out, name);
        // Behind the quote that closes the name.
        out.pop();
        out.push_str(suffix);
        out.push('"');
    }
    write_pairs(out, pairs);
}

/// Labels up to the closing brace, behind an opening one or a name in it.
pub(crate) fn write_pairs<'p>(out: &mut String, pairs: impl Iterator<Item = (&'p str, &'p str)>) {
    for (name, value) in pairs {
        if !out.ends_with('{') {
            out.push(',');
        }
        if is_bare(name) && !name.contains(':') {
            out.push_str(name);
        } else {
            write_quoted(out, name);
        }
        out.push('=');
        write_quoted(out, value);
    }
    out.push('}');
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Whether a name needs no quotes.
fn is_bare(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && is_bare_rest(name)
}

fn is_bare_rest(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
}
