//! Labels as senders give them, checked and put in order.

use swell_model::{Labels, METRIC_NAME};

/// Which rule a label set breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelFault {
    /// Every series has a metric's name.
    #[error("it has no metric name")]
    NoMetricName,
    /// A label without a name.
    #[error("a label has no name")]
    EmptyName,
    /// One name, two values.
    #[error("a label is there twice")]
    Twice,
    /// Text that is none.
    #[error("a label is not UTF-8")]
    NotUtf8,
}

/// The label set of the pairs. They are put in order, and those without a value dropped: such a label is as none.
pub(crate) fn labels_of(pairs: &mut [(&[u8], &[u8])]) -> Result<Labels, LabelFault> {
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        pairs.sort_by_key(|(name, _)| *name);
        if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelFault::Twice);
        }
    }
    if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err(LabelFault::EmptyName);
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| LabelFault::NotUtf8);
    let mut checked = Vec::with_capacity(pairs.len());
    let mut is_named = false;
    for (name, value) in pairs.iter() {
        let (name, value) = (text(name)?, text(value)?);
        if !value.is_empty() {
            is_named |= name == METRIC_NAME;
            checked.push((name, value));
        }
    }
    if !is_named {
        return Err(LabelFault::NoMetricName);
    }
    Ok(Labels::from_sorted(checked))
}

/// The labels of an exemplar: any, as long as each has a name and one value.
pub(crate) fn exemplar_labels_of(pairs: &mut [(&[u8], &[u8])]) -> Result<Labels, LabelFault> {
    pairs.sort_by_key(|(name, _)| *name);
    if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(LabelFault::Twice);
    }
    if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err(LabelFault::EmptyName);
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| LabelFault::NotUtf8);
    let checked: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| Ok((text(name)?, text(value)?)))
        .collect::<Result<_, LabelFault>>()?;
    Ok(Labels::from_sorted(checked.into_iter().filter(|(_, value)| !value.is_empty())))
}

/// The pairs as text for an error, shortened.
pub(crate) fn shown(pairs: &[(&[u8], &[u8])]) -> String {
    const SHOWN_CHARS_MAX: usize = 256;
    let mut out = String::from("{");
    for (idx, (name, value)) in pairs.iter().enumerate() {
        let separator = if idx > 0 { ", " } else { "" };
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        out.push_str(&format!("{separator}{name}={value:?}"));
        if out.len() > SHOWN_CHARS_MAX {
            out = out.chars().take(SHOWN_CHARS_MAX).collect();
            out.push('…');
            return out;
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], expected: Result<&str, LabelFault>) {
        let mut pairs: Vec<_> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let found = labels_of(&mut pairs).map(|labels| labels.to_string());
        assert_eq!(found, expected.map(str::to_owned));
    }

    #[test]
    fn labels_are_sorted_and_empty_values_dropped() {
        check(&[(METRIC_NAME, "m"), ("a", "1")], Ok(r#"m{a="1"}"#));
        check(&[("zone", "x"), (METRIC_NAME, "m"), ("a", "1")], Ok(r#"m{a="1", zone="x"}"#));
        check(&[(METRIC_NAME, "m"), ("x", "")], Ok("m"));
        check(&[(METRIC_NAME, "größe")], Ok(r#"{"größe"}"#));
    }

    #[test]
    fn broken_sets_are_refused() {
        check(&[], Err(LabelFault::NoMetricName));
        check(&[("job", "a")], Err(LabelFault::NoMetricName));
        check(&[(METRIC_NAME, "")], Err(LabelFault::NoMetricName));
        check(&[("", "v"), (METRIC_NAME, "m")], Err(LabelFault::EmptyName));
        check(&[(METRIC_NAME, "m"), ("a", "1"), ("a", "1")], Err(LabelFault::Twice));
        check(&[("a", ""), (METRIC_NAME, "m"), ("a", "1")], Err(LabelFault::Twice));
        let mut pairs = [(METRIC_NAME.as_bytes(), &b"\xff"[..])];
        assert_eq!(labels_of(&mut pairs), Err(LabelFault::NotUtf8));
    }

    #[test]
    fn long_sets_are_shortened() {
        let value = "ä".repeat(1000);
        let text = shown(&[(b"name", value.as_bytes()), (b"b", b"2")]);
        assert!(text.starts_with("{name=\"ää") && text.chars().count() < 260, "{text}");
    }
}
