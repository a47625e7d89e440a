//! Why a text is no regular expression, in the words of Go's package `regexp/syntax`.

/// A text that is no regular expression of RE2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A part of it is nothing that RE2 knows.
    #[error("error parsing regexp: {fault}: `{part}`")]
    Syntax {
        /// What is wrong.
        fault: PatternFault,
        /// The part that is meant, which may be all of it.
        part: String,
    },
    /// The engine does not take it.
    #[error("error parsing regexp: {told}: `{pattern}`")]
    Engine {
        /// What the engine says, in a line.
        told: String,
        /// The pattern as given.
        pattern: String,
    },
}

/// What is wrong with a part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// `[b-a]`, or a class of an unknown name.
    #[error("invalid character class range")]
    CharRange,
    /// `\y`
    #[error("invalid escape sequence")]
    Escape,
    /// `(?P<>a)`
    #[error("invalid named capture")]
    NamedCapture,
    /// `(?x)`
    #[error("invalid or unsupported Perl syntax")]
    PerlSyntax,
    /// `a**`
    #[error("invalid nested repetition operator")]
    NestedRepetition,
    /// `a{1001}`
    #[error("invalid repeat count")]
    RepeatCount,
    /// `[a`
    #[error("missing closing ]")]
    OpenClass,
    /// `(a`
    #[error("missing closing )")]
    OpenGroup,
    /// `*a`
    #[error("missing argument to repetition operator")]
    NothingToRepeat,
    /// `a\`
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    /// `a)`
    #[error("unexpected )")]
    UnexpectedParen,
    /// It takes more memory than an expression may.
    #[error("expression too large")]
    TooLarge,
}

impl PatternError {
    pub(super) fn of_engine(pattern: &str, error: &regex::Error) -> Self {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return Self::Syntax { fault: PatternFault::TooLarge, part: pattern.to_owned() };
        }
        // The lines before show where in the translated pattern.
        let told = error.to_string();
        let last = told.lines().last().unwrap_or_default().trim();
        let told = last.strip_prefix("error: ").unwrap_or(last).to_owned();
        Self::Engine { told, pattern: pattern.to_owned() }
    }
}
