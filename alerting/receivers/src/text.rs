//! Cutting texts to the size a service takes.

/// At most `count_max` characters; what is cut ends in `…`.
pub(crate) fn cut_chars(text: &str, count_max: usize) -> String {
    if text.chars().count() <= count_max {
        return text.to_owned();
    }
    text.chars().take(count_max.saturating_sub(1)).chain(['…']).collect()
}

/// At most `bytes_max` bytes, never cutting a character; what is cut ends in `…`.
pub(crate) fn cut_bytes(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let room = bytes_max.saturating_sub('…'.len_utf8());
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut_chars("日本東京", 3), "日本…");
        assert_eq!(cut_chars("日本", 2), "日本");
        assert_eq!(cut_bytes("日本東京", 9), "日本…");
        assert_eq!(cut_bytes("日本東京", 8), "日…");
        assert_eq!(cut_bytes("ab", 2), "ab");
    }
}
