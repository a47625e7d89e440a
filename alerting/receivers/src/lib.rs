//! One file per receiver: a pure `render` of the notification and a pure `classify` of the answer; sending is the
//! same for all ([`Sender`]). A template that fails is replaced by something plain and reported ([`Attempt`]).
//!
//! [`deliver`] makes one attempt. Repeating it, with what back-off and until when, is the caller's.
//! Secrets are read when they are needed, and never stand in a message.

mod answer;
mod data;
mod defaults;
mod deliver;
mod dingtalk;
mod functions;
mod notification;
mod pagerduty;
mod payload;
mod request;
mod secrets;
mod send;
mod slack;
mod templates;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod texts;
mod webhook;

pub use answer::{Answer, Outcome};
pub use deliver::{Attempt, DeliverError, deliver};
pub use dingtalk::sign as dingtalk_sign;
pub use notification::Notification;
pub use request::{RenderError, Request};
pub use secrets::{SecretError, Secrets};
pub use send::{SendError, Sender};
pub use templates::{TemplateFileError, Templates};
