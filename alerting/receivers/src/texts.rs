//! The texts of one notification. A template that fails costs its own text, never the notification.

use std::cell::RefCell;
use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::notification::Notification;
use crate::payload::render_payload;
use crate::request::{RenderError, Rendered, Request};
use crate::templates::{Renderer, Templates};
use crate::text::cut_bytes;

/// Alerts that the plain message names one by one.
const PLAIN_ALERTS_MAX: usize = 10;
/// Of an alert's labels and summary so much stands in the plain message.
const PLAIN_LINE_BYTES_MAX: usize = 500;

/// Renders, and keeps what went wrong.
pub(crate) struct Texts<'a> {
    renderer: Renderer<'a>,
    notification: &'a Notification,
    faults: RefCell<Vec<RenderError>>,
}

impl<'a> Texts<'a> {
    pub(crate) fn new(templates: &'a Templates, notification: &'a Notification) -> Self {
        let renderer = templates.renderer(notification);
        Self { renderer, notification, faults: RefCell::default() }
    }

    /// The text of a key that nothing can stand in for, such as an address.
    ///
    /// # Errors
    /// [`RenderError::Template`].
    pub(crate) fn exact(&self, key: &'static str, template: &str) -> Result<String, RenderError> {
        self.renderer
            .text(template)
            .map_err(|error| RenderError::Template { key, message: error.to_string() })
    }

    /// The text of a key, or nothing where its template fails.
    pub(crate) fn of(&self, key: &'static str, template: &str) -> String {
        self.or(key, template, String::new)
    }

    /// The text that tells what happens, or the plain message where its template fails.
    pub(crate) fn message(&self, key: &'static str, template: &str) -> String {
        self.or(key, template, || plain(self.notification))
    }

    /// The text of a key, or another one where its template fails.
    pub(crate) fn or(
        &self,
        key: &'static str,
        template: &str,
        instead: impl FnOnce() -> String,
    ) -> String {
        self.recover(self.exact(key, template)).unwrap_or_else(instead)
    }

    /// JSON whose texts and keys are templates; nothing where one of them fails.
    pub(crate) fn payload(&self, key: &'static str, payload: &Json) -> Option<Json> {
        self.recover(render_payload(self, key, payload))
    }

    fn recover<T>(&self, outcome: Result<T, RenderError>) -> Option<T> {
        outcome.map_err(|fault| self.faults.borrow_mut().push(fault)).ok()
    }

    /// The request, with what went wrong on the way to it.
    pub(crate) fn finish(self, request: Request) -> Rendered {
        Rendered { request, faults: self.faults.into_inner() }
    }
}

/// What happens, without any template: how many alerts, and the labels and the summary of the first ones.
pub(crate) fn plain(notification: &Notification) -> String {
    let alerts = &notification.alerts;
    let firing = alerts.iter().filter(|alert| !alert.is_resolved(notification.at)).count();
    let mut text = format!("{firing} firing, {} resolved", alerts.len() - firing);
    for alert in alerts.iter().take(PLAIN_ALERTS_MAX) {
        let state = if alert.is_resolved(notification.at) { "resolved" } else { "firing" };
        let mut line = format!("{state} {}", alert.labels);
        if let Some(summary) = alert.annotations.get("summary") {
            line.push_str(": ");
            line.push_str(summary);
        }
        text.push('\n');
        text.push_str(&cut_bytes(&line, PLAIN_LINE_BYTES_MAX));
    }
    if alerts.len() > PLAIN_ALERTS_MAX {
        write!(text, "\nand {} more", alerts.len() - PLAIN_ALERTS_MAX)
            .expect("writing to a string cannot fail");
    }
    text
}
