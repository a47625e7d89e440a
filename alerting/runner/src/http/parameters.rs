//! Query parameters that may be repeated.

/// The parameters of a request.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes a query string.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or("").as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// All values of `name` or `name[]`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name || known.strip_suffix("[]") == Some(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first value of `name`.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Whether `value` is among the values of `name`, or there are none.
    pub(super) fn admits(&self, name: &str, value: &str) -> bool {
        let mut values = self.all(name).peekable();
        values.peek().is_none() || values.any(|known| known == value)
    }

    /// A flag with its default, as Go's `strconv.ParseBool` reads it.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.one(name) {
            None | Some("") => Ok(default),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(format!("{name} must be true or false, not {other:?}")),
        }
    }
}
