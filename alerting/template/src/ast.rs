//! The parsed form of a template.

/// What a template is made of.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// Copied as it is.
    Text(String),
    /// A pipeline whose value is printed, unless it declares or assigns.
    Action(Pipeline),
    /// `if`, `range` or `with`.
    Branch(Box<Branch>),
    /// `{{template "name" pipeline}}`
    Template { name: String, argument: Option<Pipeline>, line: usize },
    /// `{{break}}`
    Break,
    /// `{{continue}}`
    Continue,
}

/// Which control structure a [`Branch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchKind {
    If,
    Range,
    With,
}

/// A control structure with its two bodies.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) kind: BranchKind,
    pub(crate) pipeline: Pipeline,
    pub(crate) then: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// `$a, $b := command | command`
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// Variables that take the value, with their `$`.
    pub(crate) targets: Vec<String>,
    /// Whether the targets exist already (`=`) or are declared (`:=`).
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
    pub(crate) line: usize,
}

/// A function, method or value with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) operands: Vec<Operand>,
}

/// One word of a command.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`, name with its `$`
    Variable(String, Vec<String>),
    Function(String),
    /// `(pipeline)`
    Pipe(Box<Pipeline>),
    /// `(pipeline).A.B`
    Chain(Box<Operand>, Vec<String>),
}
