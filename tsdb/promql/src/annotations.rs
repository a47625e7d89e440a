//! Warnings and infos: what a result does not show by itself. Texts are Prometheus' own.

use std::collections::BTreeSet;

use swell_promql_syntax::Span;

/// A remark about an expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Annotation {
    /// `PromQL warning: …` or `PromQL info: …`, without position.
    pub message: String,
    /// Start of the expression concerned, as byte offset into the query.
    start: u32,
    /// One past the end of the expression concerned.
    end: u32,
}

impl Annotation {
    fn new(message: String, span: Span) -> Self {
        Self { message, start: span.start, end: span.end }
    }

    /// The expression concerned.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span { start: self.start, end: self.end }
    }

    /// The text with line and column, as the HTTP API shows it.
    #[must_use]
    pub fn render(&self, query: &str) -> String {
        format!("{} ({})", self.message, self.span().position(query))
    }
}

/// Collects remarks, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations {
    warnings: BTreeSet<Annotation>,
    infos: BTreeSet<Annotation>,
}

impl Annotations {
    pub(crate) fn warn(&mut self, span: Span, text: impl AsRef<str>) {
        let message = format!("PromQL warning: {}", text.as_ref());
        self.warnings.insert(Annotation::new(message, span));
    }

    pub(crate) fn info(&mut self, span: Span, text: impl AsRef<str>) {
        let message = format!("PromQL info: {}", text.as_ref());
        self.infos.insert(Annotation::new(message, span));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.warnings.extend(other.warnings);
        self.infos.extend(other.infos);
    }

    pub(crate) fn into_parts(self) -> (Vec<Annotation>, Vec<Annotation>) {
        (self.warnings.into_iter().collect(), self.infos.into_iter().collect())
    }
}
