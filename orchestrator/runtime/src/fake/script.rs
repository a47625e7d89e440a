//! What a simulated container does, written as its command.

use std::time::Duration;

/// A parsed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Runs until it is stopped: any other command.
    Run,
    /// Runs until it is killed: `ignore-term`.
    IgnoreTerm,
    /// Ends by itself: `exit CODE [AFTER_MS]`.
    Exit {
        /// With this code.
        code: i32,
        /// After this long.
        after: Duration,
    },
    /// Its program cannot be executed: `cannot-start`.
    CannotStart,
    /// The runtime refuses it: `cannot-create`.
    CannotCreate,
}

impl Script {
    pub(super) fn parse(command: &[String]) -> Self {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["ignore-term"] => Self::IgnoreTerm,
            ["cannot-start"] => Self::CannotStart,
            ["cannot-create"] => Self::CannotCreate,
            ["exit", rest @ ..] => match rest {
                [code] => Self::exit(code, "0"),
                [code, after_ms] => Self::exit(code, after_ms),
                _ => Self::Run,
            },
            _ => Self::Run,
        }
    }

    fn exit(code: &str, after_ms: &str) -> Self {
        match (code.parse(), after_ms.parse()) {
            (Ok(code), Ok(after_ms)) => Self::Exit { code, after: Duration::from_millis(after_ms) },
            _ => Self::Run,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_parse() {
        for (text, expected) in [
            ("sleep infinity", Script::Run),
            ("", Script::Run),
            ("ignore-term", Script::IgnoreTerm),
            ("exit 3", Script::Exit { code: 3, after: Duration::ZERO }),
            ("exit 0 250", Script::Exit { code: 0, after: Duration::from_millis(250) }),
            ("exit soon", Script::Run),
            ("cannot-start", Script::CannotStart),
        ] {
            let command: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            assert_eq!(Script::parse(&command), expected, "{text}");
        }
    }
}
