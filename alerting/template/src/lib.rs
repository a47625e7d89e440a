//! Go's `text/template`: the language that rule files and Alertmanager configurations are written in.
//!
//! A [`Set`] holds parsed templates; [`Set::render`] runs one against a [`Value`]. What a template may call
//! beyond Go's built-ins comes from a [`Functions`] set: rules and notifier have different ones and share
//! [`functions`]. Values with methods of their own (an alert list, a label set) implement [`Object`].
//!
//! A template never takes the process down: nesting, steps and output are limited ([`Limits`]).
//! Source of the behaviour: the documentation of Go's `text/template`, `fmt` and `time` packages.
//! Absent on purpose: HTML-escaping contexts (a set may escape all that actions print, [`Functions::shown`]), a clock, a
//! time zone database.

mod ast;
mod builtin;
mod eval;
pub mod functions;
mod lexer;
mod parse;
mod printf;
mod time;
mod value;

pub use eval::{Functions, Host, Limits, NoFunctions, RenderError, Set};
pub use parse::ParseError;
pub use printf::{format_float, sprintf};
pub use time::{GoDuration, GoTime};
pub use value::{Object, Record, Value};
