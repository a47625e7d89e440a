//! What an HTTP surface offers, as data: each domain that contributes a router contributes its [`Operation`]s as well,
//! and whoever composes the routers writes one OpenAPI document out of them.

/// One path with its methods.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Methods, parted by blanks: `GET POST`.
    pub methods: &'static str,
    /// The path; variable parts in braces.
    pub path: &'static str,
    /// The group it is shown in.
    pub tag: &'static str,
    /// What it does, in a sentence without a full stop.
    pub summary: &'static str,
    /// What it can be told: in the query, in the form of a POST, or in the path.
    pub parameters: &'static [Parameter],
    /// What a POST or PUT carries besides a form.
    pub body: Body,
    /// What a good answer is.
    pub answer: Answer,
}

/// One thing that an operation can be told.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name; that of a variable part of the path stands for that.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it must be given.
    pub is_required: bool,
    /// What it means, and what counts without it.
    pub about: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// Texts; the parameter is repeated.
    Texts,
    /// A time: RFC 3339, or Unix seconds.
    Time,
    /// A duration: seconds, or as Prometheus writes them.
    Duration,
    /// A whole number that is not below 0.
    Whole,
    /// A truth.
    Truth,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// What a request carries besides its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a POST has the parameters as a form.
    Form,
    /// Something of these media types.
    Of(&'static [&'static str]),
}

/// What a good answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// JSON in Prometheus' envelope; the type of its `data`.
    Data(&'static str),
    /// JSON of this type without an envelope.
    Json(&'static str),
    /// Text of this media type.
    Text(&'static str),
    /// Bytes of this media type.
    Bytes(&'static str),
    /// A stream of JSON objects of this media type.
    Stream(&'static str),
    /// 204, or 200 without a body.
    Nothing,
}

impl Operation {
    /// An operation that carries no body of its own.
    #[must_use]
    pub const fn new(
        methods: &'static str,
        path: &'static str,
        tag: &'static str,
        summary: &'static str,
        parameters: &'static [Parameter],
        answer: Answer,
    ) -> Self {
        Self { methods, path, tag, summary, parameters, body: Body::Form, answer }
    }

    /// The same with a body of one of these media types.
    #[must_use]
    pub const fn taking(self, media_types: &'static [&'static str]) -> Self {
        Self { body: Body::Of(media_types), ..self }
    }
}

impl Parameter {
    /// One that may be left out.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, is_required: false, about }
    }

    /// The same, which must be given.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }
}
