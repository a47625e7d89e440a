//! A body in any of the formats, gone through entry by entry.

use crate::custom;
use crate::entry::{Entry, Format};
use crate::fault::LineError;
use crate::parser::Parser;
use crate::protobuf::{self, ProtobufFault};

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// Lines of text.
    Text(Format),
    /// Protocol buffers, each family behind its length.
    Protobuf,
}

impl BodyFormat {
    /// The format that a `Content-Type` names; `None` for any other.
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or("").trim();
        if media_type.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            return Some(Self::Protobuf);
        }
        Format::from_content_type(content_type).map(Self::Text)
    }
}

/// What becomes of histograms; the text formats have only classic ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramOptions {
    /// Native histograms are taken; else their classic buckets stand for them.
    pub native: bool,
    /// Classic buckets are taken beside the native histogram that they belong to, or that is made of them.
    pub always_classic: bool,
    /// Classic histograms become native ones with the same bounds.
    pub classic_as_custom: bool,
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BodyFault {
    /// With a line.
    #[error(transparent)]
    Line(#[from] LineError),
    /// With a message.
    #[error(transparent)]
    Protobuf(#[from] ProtobufFault),
}

/// Goes through a body.
pub trait Visitor<E> {
    /// Text of the series that probably comes next, for [`Parser::next_expecting`]; empty when none is.
    fn expected(&self) -> &str;

    /// Takes the next entry.
    ///
    /// # Errors
    /// Why the rest of the body is not wanted.
    fn visit(&mut self, entry: Entry<'_>) -> Result<(), E>;
}

/// One that expects nothing.
struct Open<'a, F>(&'a mut F);

impl<E, F: FnMut(Entry<'_>) -> Result<(), E>> Visitor<E> for Open<'_, F> {
    fn expected(&self) -> &str {
        ""
    }

    fn visit(&mut self, entry: Entry<'_>) -> Result<(), E> {
        (self.0)(entry)
    }
}

/// Calls `visit` for each entry of a body, in order, until it fails or the body does.
///
/// # Errors
/// What `visit` gives, or the [`BodyFault`] of the body.
pub fn visit_body<E: From<BodyFault>>(
    body: &[u8],
    format: BodyFormat,
    options: &HistogramOptions,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    visit_known_body(body, format, options, &mut Open(visit))
}

/// [`visit_body`] for who knows the body before, and so what probably comes next.
///
/// # Errors
/// What the visitor gives, or the [`BodyFault`] of the body.
pub fn visit_known_body<E: From<BodyFault>>(
    body: &[u8],
    format: BodyFormat,
    options: &HistogramOptions,
    visitor: &mut impl Visitor<E>,
) -> Result<(), E> {
    match format {
        BodyFormat::Text(format) if options.classic_as_custom => {
            custom::visit(body, format, options.always_classic, &mut |entry| visitor.visit(entry))
        }
        BodyFormat::Text(format) => {
            let mut parser = Parser::new(body, format);
            while let Some(entry) = parser.next_expecting(visitor.expected()) {
                visitor.visit(entry.map_err(BodyFault::from)?)?;
            }
            Ok(())
        }
        BodyFormat::Protobuf => protobuf::visit(body, options, &mut |entry| visitor.visit(entry)),
    }
}
