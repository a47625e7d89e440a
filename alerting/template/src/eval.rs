//! Running a template.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::ast::{Branch, BranchKind, Command, Node, Operand, Pipeline};
use crate::builtin;
use crate::parse::{ParseError, parse};
use crate::value::Value;

/// Functions beyond Go's built-ins.
pub trait Functions {
    /// Whether templates may call `name`; asked while parsing.
    fn knows(&self, name: &str) -> bool;

    /// Calls a function. Arguments are evaluated, the piped one last.
    ///
    /// # Errors
    /// A message for the user; rendering ends with it.
    fn call(&self, name: &str, arguments: &[Value], host: &mut Host<'_>) -> Result<Value, String>;

    /// What stands in the text for a value that an action gives, where that is not how Go prints it: for templates of
    /// documents in which some characters have a meaning.
    fn shown(&self, _value: &Value) -> Option<String> {
        None
    }
}

/// Go's built-ins only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn knows(&self, _name: &str) -> bool {
        false
    }

    fn call(
        &self,
        name: &str,
        _arguments: &[Value],
        _host: &mut Host<'_>,
    ) -> Result<Value, String> {
        Err(format!("function {name:?} not defined"))
    }
}

/// How much a rendering may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Templates inside templates.
    pub depth_max: usize,
    /// Nodes and commands in all.
    pub steps_max: usize,
    /// Text produced.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    /// Enough for any message a person reads: 1 MiB of text, a million steps, 32 templates deep (each takes
    /// a few kilobytes of stack).
    fn default() -> Self {
        Self { depth_max: 32, steps_max: 1_000_000, output_bytes_max: 1 << 20 }
    }
}

/// Rendering that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// There is no template of that name.
    #[error("template {name:?} not defined")]
    NoTemplate {
        /// The name.
        name: String,
    },
    /// An action failed.
    #[error("template {template}, line {line}: {message}")]
    Action {
        /// Template in which it stands.
        template: String,
        /// Line in that template's text.
        line: usize,
        /// What went wrong.
        message: String,
    },
    /// A limit was passed.
    #[error("template {template}: {what} is more than {limit}")]
    Limit {
        /// Template that was running.
        template: String,
        /// What there was too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Templates by name. Cloning copies pointers.
#[derive(Clone, Debug, Default)]
pub struct Set {
    templates: HashMap<String, Arc<Vec<Node>>>,
}

impl Set {
    /// No templates.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses a text and adds it as `name`, together with the templates it defines. A later definition
    /// replaces an earlier one. `variables` (with their `$`) are known in the text.
    ///
    /// # Errors
    /// [`ParseError`] with the line.
    pub fn add(
        &mut self,
        name: &str,
        text: &str,
        variables: &[&str],
        functions: &dyn Functions,
    ) -> Result<(), ParseError> {
        let knows = |name: &str| builtin::NAMES.contains(&name) || functions.knows(name);
        for (name, body) in parse(name, text, variables, &knows)? {
            // As in Go, a definition that only has white space does not replace one that says something.
            let blank =
                body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()));
            if !(blank && self.templates.contains_key(&name)) {
                self.templates.insert(name, Arc::new(body));
            }
        }
        Ok(())
    }

    /// Whether there is a template of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.templates.contains_key(name)
    }

    /// Renders the template `name` with `dot`; `variables` are those named to [`Set::add`].
    ///
    /// # Errors
    /// [`RenderError`]; what was rendered so far is dropped.
    pub fn render(
        &self,
        name: &str,
        dot: &Value,
        variables: &[(&str, Value)],
        functions: &dyn Functions,
        limits: &Limits,
    ) -> Result<String, RenderError> {
        let mut run = Run { set: self, functions, limits, steps: 0, depth: 0, out: String::new() };
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        run.template(name, dot, variables)?;
        Ok(run.out)
    }
}

/// What a function may ask of the evaluator that called it.
pub struct Host<'a> {
    run: Run<'a>,
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("depth", &self.run.depth).finish_non_exhaustive()
    }
}

impl Host<'_> {
    /// Renders a named template with `dot` and gives its text.
    ///
    /// # Errors
    /// The message of the failure.
    pub fn render(&mut self, name: &str, dot: &Value) -> Result<String, String> {
        let outer = std::mem::take(&mut self.run.out);
        let result = self.run.template(name, dot, Vec::new());
        let text = std::mem::replace(&mut self.run.out, outer);
        result.map(|()| text).map_err(|error| error.to_string())
    }

    /// Parses and renders a text with `dot`; it sees the named templates of the set.
    ///
    /// # Errors
    /// The message of the failure.
    pub fn render_text(&mut self, text: &str, dot: &Value) -> Result<String, String> {
        if self.run.depth >= self.run.limits.depth_max {
            return Err(format!(
                "templates are nested more than {} deep",
                self.run.limits.depth_max
            ));
        }
        let mut set = self.run.set.clone();
        set.add("", text, &[], self.run.functions).map_err(|error| error.to_string())?;
        let mut run = Run {
            set: &set,
            functions: self.run.functions,
            limits: self.run.limits,
            steps: self.run.steps,
            depth: self.run.depth + 1,
            out: String::new(),
        };
        run.template("", dot, Vec::new()).map_err(|error| error.to_string())?;
        self.run.steps = run.steps;
        Ok(run.out)
    }
}

type Variables = Vec<(String, Value)>;

/// One rendering under way.
struct Run<'a> {
    set: &'a Set,
    functions: &'a dyn Functions,
    limits: &'a Limits,
    steps: usize,
    depth: usize,
    out: String,
}

/// The template that is running: its name and its variables, innermost last.
struct Frame {
    name: String,
    variables: Variables,
}

/// How a list of nodes ended.
#[derive(PartialEq, Eq)]
enum Flow {
    Done,
    Break,
    Continue,
}

impl Run<'_> {
    fn template(
        &mut self,
        name: &str,
        dot: &Value,
        variables: Variables,
    ) -> Result<(), RenderError> {
        let body = self.set.templates.get(name).cloned();
        let body = body.ok_or_else(|| RenderError::NoTemplate { name: name.to_owned() })?;
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            let limit = self.limits.depth_max;
            return Err(RenderError::Limit {
                template: name.to_owned(),
                what: "the nesting of templates",
                limit,
            });
        }
        let mut all = vec![("$".to_owned(), dot.clone())];
        all.extend(variables);
        let mut frame = Frame { name: name.to_owned(), variables: all };
        self.nodes(&body, dot, &mut frame)?;
        self.depth -= 1;
        Ok(())
    }

    fn step(&mut self, frame: &Frame) -> Result<(), RenderError> {
        self.steps += 1;
        let limits = self.limits;
        let over =
            |what, limit| Err(RenderError::Limit { template: frame.name.clone(), what, limit });
        if self.steps > limits.steps_max {
            return over("the number of steps", limits.steps_max);
        }
        if self.out.len() > limits.output_bytes_max {
            return over("the text in bytes", limits.output_bytes_max);
        }
        Ok(())
    }

    fn nodes(
        &mut self,
        nodes: &[Node],
        dot: &Value,
        frame: &mut Frame,
    ) -> Result<Flow, RenderError> {
        for node in nodes {
            self.step(frame)?;
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot, frame)?;
                    if pipeline.targets.is_empty() {
                        self.print(&value);
                    }
                }
                Node::Branch(branch) => {
                    let flow = self.branch(branch, dot, frame)?;
                    if flow != Flow::Done {
                        return Ok(flow);
                    }
                }
                Node::Template { name, argument, line } => {
                    let value = match argument {
                        Some(pipeline) => self.pipeline(pipeline, dot, frame)?,
                        None => Value::Nil,
                    };
                    if !self.set.contains(name) {
                        return Err(fault(frame, *line, format!("template {name:?} not defined")));
                    }
                    self.template(name, &value, Vec::new())?;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Done)
    }

    fn print(&mut self, value: &Value) {
        if let Some(text) = self.functions.shown(value) {
            self.out.push_str(&text);
            return;
        }
        match value {
            Value::Nil => self.out.push_str("<no value>"),
            Value::Str(text) => self.out.push_str(text),
            value => self.out.push_str(&value.to_string()),
        }
    }

    fn branch(
        &mut self,
        branch: &Branch,
        dot: &Value,
        frame: &mut Frame,
    ) -> Result<Flow, RenderError> {
        let scope = frame.variables.len();
        let value = self.pipeline(&branch.pipeline, dot, frame)?;
        let flow = match branch.kind {
            BranchKind::If | BranchKind::With => {
                let inner = if branch.kind == BranchKind::With { &value } else { dot };
                if value.truth() {
                    self.nodes(&branch.then, inner, frame)?
                } else {
                    self.nodes(&branch.otherwise, dot, frame)?
                }
            }
            BranchKind::Range => self.range(branch, &value, dot, frame)?,
        };
        frame.variables.truncate(scope);
        Ok(flow)
    }

    fn range(
        &mut self,
        branch: &Branch,
        value: &Value,
        dot: &Value,
        frame: &mut Frame,
    ) -> Result<Flow, RenderError> {
        let items: Vec<(Value, Value)> = match value.bare() {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(idx, item)| {
                    (Value::Int(i64::try_from(idx).unwrap_or(i64::MAX)), item.clone())
                })
                .collect(),
            Value::StrMap(entries) => {
                entries.iter().map(|(name, entry)| (Value::str(name), Value::str(entry))).collect()
            }
            Value::Map(entries) => {
                entries.iter().map(|(name, entry)| (Value::str(name), entry.clone())).collect()
            }
            Value::Int(count) => {
                let limit = i64::try_from(self.limits.steps_max).unwrap_or(i64::MAX);
                (0..count.min(limit)).map(|idx| (Value::Int(idx), Value::Int(idx))).collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let message = format!("range can't iterate over {other}");
                return Err(fault(frame, branch.pipeline.line, message));
            }
        };
        if items.is_empty() {
            return self.nodes(&branch.otherwise, dot, frame);
        }
        for (key, item) in items {
            let scope = frame.variables.len();
            let over_integer = matches!(value, Value::Int(_));
            let targets = &branch.pipeline.targets;
            let values: Vec<Value> = match targets.len() {
                0 => Vec::new(),
                1 if over_integer => vec![key],
                1 => vec![item.clone()],
                _ => vec![key, item.clone()],
            };
            for (name, value) in targets.iter().zip(values) {
                if branch.pipeline.assigns {
                    assign(frame, name, value);
                } else {
                    frame.variables.push((name.clone(), value));
                }
            }
            let flow = self.nodes(&branch.then, &item, frame)?;
            frame.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Done)
    }

    fn pipeline(
        &mut self,
        pipeline: &Pipeline,
        dot: &Value,
        frame: &mut Frame,
    ) -> Result<Value, RenderError> {
        let mut value = None;
        for command in &pipeline.commands {
            self.step(frame)?;
            value = Some(self.command(command, pipeline.line, dot, frame, value)?);
        }
        let value = value.unwrap_or_default();
        // A range assigns its own variables, item by item.
        if let [name] = pipeline.targets.as_slice() {
            if pipeline.assigns {
                assign(frame, name, value.clone());
            } else {
                frame.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &Command,
        line: usize,
        dot: &Value,
        frame: &mut Frame,
        piped: Option<Value>,
    ) -> Result<Value, RenderError> {
        let (first, rest) =
            command.operands.split_first().expect("the parser makes no empty command");
        if let Operand::Function(name) = first {
            if name == "and" || name == "or" {
                return self.and_or(name, rest, line, dot, frame, piped);
            }
            let arguments = self.arguments(rest, line, dot, frame, piped)?;
            return self
                .call(name, &arguments)
                .map_err(|message| fault(frame, line, format!("error calling {name}: {message}")));
        }
        let callable = matches!(first, Operand::Field(_) | Operand::Chain(..))
            || matches!(first, Operand::Variable(_, fields) if !fields.is_empty());
        if callable {
            let arguments = self.arguments(rest, line, dot, frame, piped)?;
            return self.operand(first, &arguments, line, dot, frame);
        }
        if matches!(first, Operand::Nil) {
            return Err(fault(frame, line, "nil is not a command".into()));
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(fault(frame, line, "can't give argument to non-function".into()));
        }
        self.operand(first, &[], line, dot, frame)
    }

    fn arguments(
        &mut self,
        operands: &[Operand],
        line: usize,
        dot: &Value,
        frame: &mut Frame,
        piped: Option<Value>,
    ) -> Result<Vec<Value>, RenderError> {
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            arguments.push(self.operand(operand, &[], line, dot, frame)?);
        }
        arguments.extend(piped);
        Ok(arguments)
    }

    fn and_or(
        &mut self,
        name: &str,
        operands: &[Operand],
        line: usize,
        dot: &Value,
        frame: &mut Frame,
        piped: Option<Value>,
    ) -> Result<Value, RenderError> {
        let stop_at = name == "or";
        let mut last = None;
        for operand in operands {
            let value = self.operand(operand, &[], line, dot, frame)?;
            if value.truth() == stop_at {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or_else(|| {
            fault(frame, line, format!("wrong number of args for {name}: want at least 1 got 0"))
        })
    }

    fn call(&mut self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        if self.functions.knows(name) {
            let run = Run {
                set: self.set,
                functions: self.functions,
                limits: self.limits,
                steps: self.steps,
                depth: self.depth,
                out: String::new(),
            };
            let mut host = Host { run };
            let result = self.functions.call(name, arguments, &mut host);
            self.steps = host.run.steps;
            return result;
        }
        builtin::call(name, arguments)
            .unwrap_or_else(|| Err(format!("function {name:?} not defined")))
    }

    fn operand(
        &mut self,
        operand: &Operand,
        arguments: &[Value],
        line: usize,
        dot: &Value,
        frame: &mut Frame,
    ) -> Result<Value, RenderError> {
        Ok(match operand {
            Operand::Dot => dot.clone(),
            Operand::Nil => Value::Nil,
            Operand::Bool(value) => Value::Bool(*value),
            Operand::Int(value) => Value::Int(*value),
            Operand::Float(value) => Value::Float(*value),
            Operand::Str(text) => Value::str(text),
            Operand::Field(fields) => {
                members(dot, fields, arguments).map_err(|message| fault(frame, line, message))?
            }
            Operand::Variable(name, fields) => {
                let value = frame
                    .variables
                    .iter()
                    .rev()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.clone());
                let value = value
                    .ok_or_else(|| fault(frame, line, format!("undefined variable: {name}")))?;
                members(&value, fields, arguments).map_err(|message| fault(frame, line, message))?
            }
            Operand::Function(name) if name == "and" || name == "or" => {
                self.and_or(name, &[], line, dot, frame, None)?
            }
            Operand::Function(name) => self.call(name, arguments).map_err(|message| {
                fault(frame, line, format!("error calling {name}: {message}"))
            })?,
            Operand::Pipe(pipeline) => {
                let scope = frame.variables.len();
                let value = self.pipeline(pipeline, dot, frame)?;
                frame.variables.truncate(scope);
                value
            }
            Operand::Chain(base, fields) => {
                let value = self.operand(base, &[], line, dot, frame)?;
                members(&value, fields, arguments).map_err(|message| fault(frame, line, message))?
            }
        })
    }
}

/// Follows a chain of names; the arguments belong to the last one.
fn members(start: &Value, names: &[String], arguments: &[Value]) -> Result<Value, String> {
    let mut value = start.clone();
    for (idx, name) in names.iter().enumerate() {
        let last = idx + 1 == names.len();
        value = value.member(name, if last { arguments } else { &[] })?;
    }
    Ok(value)
}

fn assign(frame: &mut Frame, name: &str, value: Value) {
    if let Some(slot) = frame.variables.iter_mut().rev().find(|(known, _)| known == name) {
        slot.1 = value;
    }
}

fn fault(frame: &Frame, line: usize, message: String) -> RenderError {
    RenderError::Action { template: frame.name.clone(), line, message }
}

#[cfg(test)]
mod tests;
