//! What the configuration takes from the environment, and `$VAR` in it.

/// Variables of the environment.
pub(super) trait Environment {
    /// A variable that is set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
pub(super) struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

/// The text with `$NAME` and `${NAME}` replaced by variables and `$$` by a dollar sign; variables that are not set go
/// to `missing` and stand for nothing. A dollar sign before anything else stays.
pub(super) fn expanded(
    text: &str,
    environment: &dyn Environment,
    missing: &mut Vec<String>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        } else if let Some(tail) = rest.strip_prefix('{')
            && let Some((name, tail)) = tail.split_once('}')
        {
            rest = tail;
            name
        } else {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let len = rest.bytes().take_while(is_part).count();
            let (name, tail) = rest.split_at(len);
            rest = tail;
            name
        };
        if name.is_empty() {
            out.push('$');
            continue;
        }
        match environment.get(name) {
            Some(value) => out.push_str(&value),
            None => missing.push(name.to_owned()),
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Environment for Fixed {
        fn get(&self, name: &str) -> Option<String> {
            (name == "ZONE_1").then(|| "eu".to_owned())
        }
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expected, unset) in [
            ("plain", "plain", vec![]),
            ("$ZONE_1", "eu", vec![]),
            ("a-${ZONE_1}b/$ZONE_1.c", "a-eub/eu.c", vec![]),
            ("$$ZONE_1", "$ZONE_1", vec![]),
            ("5$", "5$", vec![]),
            ("$-x", "$-x", vec![]),
            ("${ZONE_1", "${ZONE_1", vec![]),
            ("a$NONE${ALSO}b", "ab", vec!["NONE", "ALSO"]),
        ] {
            let mut missing = Vec::new();
            assert_eq!(expanded(text, &Fixed, &mut missing), expected, "{text}");
            assert_eq!(missing, unset, "{text}");
        }
    }
}
