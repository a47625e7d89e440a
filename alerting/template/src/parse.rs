//! Tokens to tree. Undefined functions and variables are found here, as in Go.

use crate::ast::{Branch, BranchKind, Command, Node, Operand, Pipeline};
use crate::lexer::{Token, TokenKind, lex};

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Line in the template's text, from 1.
    pub line: usize,
    /// What is wrong, in Go's words where there are such.
    pub message: String,
}

/// Blocks and parentheses inside each other, at most: the parser and the evaluator recurse on them.
const NESTING_MAX: usize = 64;

/// Named templates found in a text; the one with the text's own name comes last.
pub(crate) type Definitions = Vec<(String, Vec<Node>)>;

/// Parses `text`; `variables` are known from the start (with their `$`), `knows` says which functions exist.
pub(crate) fn parse(
    name: &str,
    text: &str,
    variables: &[&str],
    knows: &dyn Fn(&str) -> bool,
) -> Result<Definitions, ParseError> {
    let mut start = vec!["$".to_owned()];
    start.extend(variables.iter().map(|name| (*name).to_owned()));
    let mut parser = Parser {
        tokens: lex(text)?,
        next: 0,
        knows,
        variables: start,
        definitions: Vec::new(),
        range_depth: 0,
        nesting: 0,
    };
    let (body, _) = parser.body(&[])?;
    let mut definitions = parser.definitions;
    definitions.push((name.to_owned(), body));
    Ok(definitions)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    next: usize,
    knows: &'a dyn Fn(&str) -> bool,
    variables: Vec<String>,
    definitions: Definitions,
    range_depth: usize,
    nesting: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn fault(&self, message: impl Into<String>) -> ParseError {
        let idx = self.next.min(self.tokens.len()).max(1) - 1;
        ParseError { line: self.tokens[idx].line, message: message.into() }
    }

    fn deeper(&mut self) -> Result<(), ParseError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self
                .fault(format!("blocks and parentheses are nested more than {NESTING_MAX} deep")));
        }
        Ok(())
    }

    fn expect_close(&mut self, context: &str) -> Result<(), ParseError> {
        let token = self.take();
        if token.kind == TokenKind::Close {
            return Ok(());
        }
        Err(self.fault(format!("unexpected {} in {context}", describe(&token.kind))))
    }

    /// Nodes up to one of the keywords `until` (which is consumed and returned) or the end of the text.
    fn body(&mut self, until: &[&str]) -> Result<(Vec<Node>, Option<String>), ParseError> {
        let mut nodes = Vec::new();
        loop {
            let token = self.take();
            match token.kind {
                TokenKind::End if until.is_empty() => return Ok((nodes, None)),
                TokenKind::End => {
                    return Err(self.fault("unexpected end of the template: {{end}} is missing"));
                }
                TokenKind::Text(text) => nodes.push(Node::Text(text)),
                TokenKind::Open => {
                    if let TokenKind::Identifier(word) = &self.peek().kind {
                        let word = word.clone();
                        if matches!(word.as_str(), "end" | "else") {
                            self.take();
                            if until.contains(&word.as_str()) {
                                return Ok((nodes, Some(word)));
                            }
                            return Err(self.fault(format!("unexpected {{{{{word}}}}}")));
                        }
                    }
                    if let Some(node) = self.action()? {
                        nodes.push(node);
                    }
                }
                other => return Err(self.fault(format!("unexpected {}", describe(&other)))),
            }
        }
    }

    fn action(&mut self) -> Result<Option<Node>, ParseError> {
        let keyword = match &self.peek().kind {
            TokenKind::Identifier(word) => word.clone(),
            _ => String::new(),
        };
        match keyword.as_str() {
            "if" => self.branch(BranchKind::If).map(Some),
            "range" => self.branch(BranchKind::Range).map(Some),
            "with" => self.branch(BranchKind::With).map(Some),
            "template" => self.call_template().map(Some),
            "block" => self.block().map(Some),
            "define" => self.define().map(|()| None),
            "break" | "continue" => {
                self.take();
                if self.range_depth == 0 {
                    return Err(self.fault(format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                self.expect_close(&keyword)?;
                Ok(Some(if keyword == "break" { Node::Break } else { Node::Continue }))
            }
            _ => {
                let pipeline = self.pipeline("command")?;
                self.expect_close("command")?;
                Ok(Some(Node::Action(pipeline)))
            }
        }
    }

    fn branch(&mut self, kind: BranchKind) -> Result<Node, ParseError> {
        let context = match kind {
            BranchKind::If => "if",
            BranchKind::Range => "range",
            BranchKind::With => "with",
        };
        self.take();
        self.deeper()?;
        let scope = self.variables.len();
        let pipeline = if kind == BranchKind::Range {
            self.range_pipeline()?
        } else {
            self.pipeline(context)?
        };
        self.expect_close(context)?;
        self.range_depth += usize::from(kind == BranchKind::Range);
        let (then, end) = self.body(&["end", "else"])?;
        self.range_depth -= usize::from(kind == BranchKind::Range);
        let mut otherwise = Vec::new();
        if end.as_deref() == Some("else") {
            let chained = matches!(&self.peek().kind, TokenKind::Identifier(word) if word == context)
                && kind != BranchKind::Range;
            if chained {
                otherwise.push(self.branch(kind)?);
                self.variables.truncate(scope);
                self.nesting -= 1;
                return Ok(Node::Branch(Box::new(Branch { kind, pipeline, then, otherwise })));
            }
            self.expect_close("else")?;
            otherwise = self.body(&["end"])?.0;
        }
        self.expect_close("end")?;
        self.variables.truncate(scope);
        self.nesting -= 1;
        Ok(Node::Branch(Box::new(Branch { kind, pipeline, then, otherwise })))
    }

    fn call_template(&mut self) -> Result<Node, ParseError> {
        let line = self.take().line;
        let name = self.template_name("template")?;
        let argument = if self.peek().kind == TokenKind::Close {
            None
        } else {
            Some(self.pipeline("template")?)
        };
        self.expect_close("template")?;
        Ok(Node::Template { name, argument, line })
    }

    fn block(&mut self) -> Result<Node, ParseError> {
        let line = self.take().line;
        let name = self.template_name("block")?;
        let argument = Some(self.pipeline("block")?);
        self.expect_close("block")?;
        self.definition(name.clone())?;
        Ok(Node::Template { name, argument, line })
    }

    fn define(&mut self) -> Result<(), ParseError> {
        self.take();
        let name = self.template_name("define")?;
        self.expect_close("define")?;
        self.definition(name)
    }

    /// The body of a definition: it sees none of the variables around it.
    fn definition(&mut self, name: String) -> Result<(), ParseError> {
        self.deeper()?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let outer_range = std::mem::take(&mut self.range_depth);
        let (body, _) = self.body(&["end"])?;
        self.expect_close("end")?;
        self.variables = outer;
        self.range_depth = outer_range;
        self.nesting -= 1;
        self.definitions.push((name, body));
        Ok(())
    }

    fn template_name(&mut self, context: &str) -> Result<String, ParseError> {
        match self.take().kind {
            TokenKind::Str(name) => Ok(name),
            other => {
                Err(self.fault(format!("unexpected {} in {context} clause", describe(&other))))
            }
        }
    }

    /// `range` may name an index and an element.
    fn range_pipeline(&mut self) -> Result<Pipeline, ParseError> {
        let start = self.next;
        let mut names = Vec::new();
        while let TokenKind::Variable(name) = self.peek().kind.clone() {
            self.take();
            names.push(name);
            if self.peek().kind != TokenKind::Comma {
                break;
            }
            self.take();
        }
        let assigns = match self.peek().kind {
            TokenKind::Declare => false,
            TokenKind::Assign => true,
            _ => {
                self.next = start;
                return self.pipeline("range");
            }
        };
        if names.len() > 2 {
            return Err(self.fault("too many declarations in range"));
        }
        self.take();
        let mut pipeline = self.commands("range")?;
        if !assigns {
            self.variables.extend(names.iter().cloned());
        }
        pipeline.targets = names;
        pipeline.assigns = assigns;
        Ok(pipeline)
    }

    fn pipeline(&mut self, context: &str) -> Result<Pipeline, ParseError> {
        if let TokenKind::Variable(name) = self.peek().kind.clone() {
            let after = self.tokens.get(self.next + 1).map(|token| token.kind.clone());
            if matches!(after, Some(TokenKind::Declare | TokenKind::Assign)) {
                let assigns = after == Some(TokenKind::Assign);
                if assigns {
                    self.check_variable(&name)?;
                }
                self.take();
                self.take();
                let mut pipeline = self.commands(context)?;
                if !assigns {
                    self.variables.push(name.clone());
                }
                pipeline.targets = vec![name];
                pipeline.assigns = assigns;
                return Ok(pipeline);
            }
        }
        self.commands(context)
    }

    fn commands(&mut self, context: &str) -> Result<Pipeline, ParseError> {
        let line = self.peek().line;
        let mut commands = Vec::new();
        loop {
            let operands = self.operands()?;
            if operands.is_empty() {
                return Err(self.fault(format!("missing value for {context}")));
            }
            let literal = matches!(
                operands[0],
                Operand::Bool(_)
                    | Operand::Int(_)
                    | Operand::Float(_)
                    | Operand::Str(_)
                    | Operand::Nil
                    | Operand::Dot
            );
            if literal && !commands.is_empty() {
                return Err(self.fault("non executable command in pipeline"));
            }
            commands.push(Command { operands });
            if self.peek().kind != TokenKind::Pipe {
                return Ok(Pipeline { targets: Vec::new(), assigns: false, commands, line });
            }
            self.take();
        }
    }

    fn operands(&mut self) -> Result<Vec<Operand>, ParseError> {
        let mut operands = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(operand);
            let next = self.peek();
            let ends = matches!(
                next.kind,
                TokenKind::Close
                    | TokenKind::Pipe
                    | TokenKind::RightParen
                    | TokenKind::Assign
                    | TokenKind::Declare
                    | TokenKind::Comma
            );
            if !ends && !next.spaced {
                let found = describe(&next.kind);
                return Err(self.fault(format!("unexpected {found} in operand")));
            }
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Option<Operand>, ParseError> {
        let base = match self.peek().kind.clone() {
            TokenKind::Dot => Operand::Dot,
            TokenKind::Str(text) => Operand::Str(text),
            TokenKind::Int(value) => Operand::Int(value),
            TokenKind::Float(value) => Operand::Float(value),
            TokenKind::Identifier(word) => match word.as_str() {
                "true" => Operand::Bool(true),
                "false" => Operand::Bool(false),
                "nil" => Operand::Nil,
                _ if (self.knows)(&word) => Operand::Function(word),
                _ => {
                    self.take();
                    return Err(self.fault(format!("function {word:?} not defined")));
                }
            },
            TokenKind::Field(name) => Operand::Field(vec![name]),
            TokenKind::Variable(name) => {
                self.take();
                self.check_variable(&name)?;
                self.next -= 1;
                Operand::Variable(name, Vec::new())
            }
            TokenKind::LeftParen => {
                self.take();
                self.deeper()?;
                let pipeline = self.pipeline("parenthesized pipeline")?;
                self.nesting -= 1;
                if self.peek().kind != TokenKind::RightParen {
                    return Err(self.fault("unclosed left paren"));
                }
                Operand::Pipe(Box::new(pipeline))
            }
            _ => return Ok(None),
        };
        self.take();
        self.chain(base).map(Some)
    }

    /// Fields that follow without a space.
    fn chain(&mut self, base: Operand) -> Result<Operand, ParseError> {
        let mut names = Vec::new();
        while let TokenKind::Field(name) = &self.peek().kind {
            if self.peek().spaced {
                break;
            }
            names.push(name.clone());
            self.take();
        }
        if names.is_empty() {
            return Ok(base);
        }
        match base {
            Operand::Field(mut fields) => {
                fields.extend(names);
                Ok(Operand::Field(fields))
            }
            Operand::Variable(name, _) => Ok(Operand::Variable(name, names)),
            Operand::Bool(_)
            | Operand::Int(_)
            | Operand::Float(_)
            | Operand::Str(_)
            | Operand::Nil
            | Operand::Dot => Err(self.fault(format!("unexpected .{} after a constant", names[0]))),
            other => Ok(Operand::Chain(Box::new(other), names)),
        }
    }

    fn check_variable(&self, name: &str) -> Result<(), ParseError> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(self.fault(format!("undefined variable {name:?}")))
    }
}

fn describe(kind: &TokenKind) -> String {
    match kind {
        TokenKind::Text(_) => "text".into(),
        TokenKind::Open => "{{".into(),
        TokenKind::Close => "}}".into(),
        TokenKind::Field(name) => format!("<.{name}>"),
        TokenKind::Variable(name) | TokenKind::Identifier(name) => format!("<{name}>"),
        TokenKind::Dot => "<.>".into(),
        TokenKind::Str(text) => format!("{text:?}"),
        TokenKind::Int(value) => value.to_string(),
        TokenKind::Float(value) => value.to_string(),
        TokenKind::Pipe => "|".into(),
        TokenKind::LeftParen => "(".into(),
        TokenKind::RightParen => ")".into(),
        TokenKind::Comma => ",".into(),
        TokenKind::Assign => "=".into(),
        TokenKind::Declare => ":=".into(),
        TokenKind::End => "end of the template".into(),
    }
}
