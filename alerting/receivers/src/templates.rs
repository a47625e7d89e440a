//! All templates of a configuration: the defaults, and files on top of them.

use swell_template::{Limits, ParseError, RenderError as EngineError, Set, Value};

use crate::data::data;
use crate::defaults::DEFAULT_TEMPLATES;
use crate::functions::NotifierFunctions;
use crate::notification::Notification;

/// A template file that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("template file {file}")]
pub struct TemplateFileError {
    /// The file.
    pub file: String,
    /// Line and fault.
    #[source]
    pub source: ParseError,
}

/// Named templates. Cloning copies pointers.
#[derive(Clone, Debug)]
pub struct Templates {
    set: Set,
}

/// A text that could not be rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Render(#[from] EngineError),
}

impl Default for Templates {
    fn default() -> Self {
        Self::new()
    }
}

impl Templates {
    /// The default templates.
    ///
    /// # Panics
    /// Never: that the defaults parse is tested.
    #[must_use]
    pub fn new() -> Self {
        let mut templates = Self { set: Set::new() };
        templates.add("default.tmpl", DEFAULT_TEMPLATES).expect("the default templates parse");
        templates
    }

    /// Adds the definitions of a file; later ones replace earlier ones.
    ///
    /// # Errors
    /// [`TemplateFileError`] with the line.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), TemplateFileError> {
        let route_labels = std::collections::BTreeMap::new();
        let functions = NotifierFunctions {
            now: swell_model::TimestampMs(0),
            route_labels: &route_labels,
            data: Value::Nil,
        };
        self.set
            .add(file, text, &[], &functions)
            .map_err(|source| TemplateFileError { file: file.to_owned(), source })
    }

    /// Prepares the rendering of a notification's texts.
    pub(crate) fn renderer<'a>(&'a self, notification: &'a Notification) -> Renderer<'a> {
        let data = data(notification);
        let functions = NotifierFunctions {
            now: notification.at,
            route_labels: &notification.route_labels,
            data: data.clone(),
        };
        Renderer { templates: self, functions, data }
    }
}

/// Renders the texts of one notification.
pub(crate) struct Renderer<'a> {
    templates: &'a Templates,
    functions: NotifierFunctions<'a>,
    data: Value,
}

impl Renderer<'_> {
    /// The text for the notification.
    pub(crate) fn text(&self, text: &str) -> Result<String, TextError> {
        if !text.contains("{{") {
            return Ok(text.to_owned());
        }
        let mut set = self.templates.set.clone();
        set.add("", text, &[], &self.functions)?;
        Ok(set.render("", &self.data, &[], &self.functions, &Limits::default())?)
    }
}
