//! The tree of a query. Every node knows its [`Span`]; trees compare by content and position.

use swell_model::{Matcher, TimestampMs};

use crate::functions::Function;
use crate::span::Span;

/// An expression and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// From the first to past the last byte, modifiers included.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `0x1f`, `5m` (300)
    Number(NumberLiteral),
    /// `"text"`
    Text(TextLiteral),
    /// `metric{label="value"} offset 5m @ 10`
    Vector(Box<VectorSelector>),
    /// `metric[5m]`
    Matrix(Box<MatrixSelector>),
    /// `expr[1h:1m]`
    Subquery(Box<Subquery>),
    /// `rate(metric[5m])`
    Call(Call),
    /// `sum by (job) (metric)`
    Aggregate(Box<Aggregate>),
    /// `a / on (x) b`
    Binary(Box<Binary>),
    /// `-a`
    Unary(Box<Unary>),
    /// `(a)`
    Paren(Box<Expr>),
}

/// The type of an expression's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float per step.
    Scalar,
    /// At most one sample per series and step.
    Vector,
    /// A window of samples per series and step.
    Matrix,
    /// A text.
    Text,
}

/// A number.
#[derive(Clone, Copy, Debug)]
pub struct NumberLiteral {
    /// The value; seconds when written as a duration.
    pub value: f64,
    /// Whether it was written with units (`5m`).
    pub is_duration: bool,
}

impl PartialEq for NumberLiteral {
    /// All NaN are one here, so that trees can be compared.
    fn eq(&self, other: &Self) -> bool {
        let both_nan = self.value.is_nan() && other.value.is_nan();
        (self.value == other.value || both_nan) && self.is_duration == other.is_duration
    }
}

/// A text, which escapes may have made something else than UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLiteral {
    /// The bytes between the quotes, escapes resolved.
    pub bytes: Vec<u8>,
}

impl TextLiteral {
    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// The text with anything that is not UTF-8 replaced.
    #[must_use]
    pub fn to_string_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// How samples at the edges of a window are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// Only samples inside the window.
    #[default]
    Plain,
    /// `anchored`: the last sample at or before the window's start stands in for the start.
    Anchored,
    /// `smoothed`: values at both ends are interpolated.
    Smoothed,
}

/// Time fixed by an `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtModifier {
    /// `@ 123.4`
    Timestamp(TimestampMs),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// Series chosen by matchers, with time modifiers.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before or inside the braces, if any; `matchers` has it too.
    pub name: Option<String>,
    /// All conditions, the name's among them.
    pub matchers: Vec<Matcher>,
    /// `offset …`
    pub offset: Option<DurationExpr>,
    /// `@ …`
    pub at: Option<AtModifier>,
    /// `anchored` or `smoothed`.
    pub boundary: Boundary,
}

/// A vector selector with a window.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// What stands before the bracket, with the modifiers after it.
    pub selector: VectorSelector,
    /// Span of what stands before the bracket.
    pub selector_span: Span,
    /// Length of the window.
    pub range: DurationExpr,
}

/// An expression evaluated over a window at its own steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// Length of the window.
    pub range: DurationExpr,
    /// Distance of steps; the engine's default when absent.
    pub step: Option<DurationExpr>,
    /// `offset …`
    pub offset: Option<DurationExpr>,
    /// `@ …`
    pub at: Option<AtModifier>,
}

/// Arithmetic over durations, in seconds; known once the query's step and range are.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: DurationKind,
}

/// The kinds of duration expression.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// `5m` or `300`
    Number(NumberLiteral),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `min_of(a, b)`
    Min(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    Max(Box<DurationExpr>, Box<DurationExpr>),
    /// `-a`, `+a`
    Unary(UnaryOp, Box<DurationExpr>),
    /// `a + b` and so on; only arithmetic operators.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `(a)`
    Paren(Box<DurationExpr>),
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// Arguments, checked against the function's signature.
    pub args: Vec<Expr>,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the operator of its name")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    CountValues,
    Quantile,
    LimitK,
    LimitRatio,
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Operator.
    pub op: AggregateOp,
    /// First argument of operators that take one.
    pub param: Option<Expr>,
    /// The vector.
    pub expr: Expr,
    /// Labels of the `by` or `without` clause, in the order written.
    pub grouping: Vec<String>,
    /// Whether the clause is `without`.
    pub without: bool,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the operator of its name")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
    /// `</`: a histogram without what lies above.
    TrimUpper,
    /// `>/`: a histogram without what lies below.
    TrimLower,
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Left side.
    pub lhs: Expr,
    /// Right side.
    pub rhs: Expr,
    /// `bool`: comparisons give 0 and 1 instead of filtering.
    pub return_bool: bool,
    /// How series of two vectors find each other; `None` unless both sides are vectors.
    pub matching: Option<VectorMatching>,
}

/// How many series of a side may share one set of matching labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One on each side.
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// Vector matching.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorMatching {
    /// One or many.
    pub cardinality: Cardinality,
    /// Whether the labels are those of `on` (else of `ignoring`).
    pub on: bool,
    /// Matching labels.
    pub labels: Vec<String>,
    /// Labels copied from the "one" side.
    pub include: Vec<String>,
    /// Value of missing series on the left.
    pub fill_left: Option<NumberLiteral>,
    /// Value of missing series on the right.
    pub fill_right: Option<NumberLiteral>,
}

/// Unary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// A unary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Operator.
    pub op: UnaryOp,
    /// Operand.
    pub expr: Expr,
}

impl Expr {
    /// The type of its value.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::Text(_) => ValueType::Text,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Binary(binary) => {
                let scalars = [&binary.lhs, &binary.rhs]
                    .into_iter()
                    .all(|side| side.value_type() == ValueType::Scalar);
                if scalars { ValueType::Scalar } else { ValueType::Vector }
            }
            ExprKind::Unary(unary) => unary.expr.value_type(),
            ExprKind::Paren(inner) => inner.value_type(),
        }
    }

    /// The expression without the parentheses around it.
    #[must_use]
    pub fn without_parens(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// The expressions directly below, in the order written.
    #[must_use]
    pub fn children(&self) -> Vec<&Self> {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {
                Vec::new()
            }
            ExprKind::Subquery(subquery) => vec![&subquery.expr],
            ExprKind::Call(call) => call.args.iter().collect(),
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter().chain(std::iter::once(&aggregate.expr)).collect()
            }
            ExprKind::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            ExprKind::Unary(unary) => vec![&unary.expr],
            ExprKind::Paren(inner) => vec![inner],
        }
    }

    /// Calls `visit` for this expression and all below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// The expressions directly below, to be changed in place.
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match &mut self.kind {
            ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {
                Vec::new()
            }
            ExprKind::Subquery(subquery) => vec![&mut subquery.expr],
            ExprKind::Call(call) => call.args.iter_mut().collect(),
            ExprKind::Aggregate(aggregate) => {
                let Aggregate { param, expr, .. } = aggregate.as_mut();
                param.iter_mut().chain(std::iter::once(expr)).collect()
            }
            ExprKind::Binary(binary) => {
                let Binary { lhs, rhs, .. } = binary.as_mut();
                vec![lhs, rhs]
            }
            ExprKind::Unary(unary) => vec![&mut unary.expr],
            ExprKind::Paren(inner) => vec![inner],
        }
    }
}

impl ValueType {
    /// The name the documentation uses.
    #[must_use]
    pub const fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Text => "string",
        }
    }
}

impl AggregateOp {
    /// All operators.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::TopK,
        Self::BottomK,
        Self::CountValues,
        Self::Quantile,
        Self::LimitK,
        Self::LimitRatio,
    ];

    /// The keyword.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::TopK => "topk",
            Self::BottomK => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::LimitK => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// The operator of a keyword in lower case.
    #[must_use]
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == keyword)
    }

    /// Type of the parameter, for operators that take one.
    #[must_use]
    pub const fn param_type(self) -> Option<ValueType> {
        match self {
            Self::TopK | Self::BottomK | Self::Quantile | Self::LimitK | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::Text),
            _ => None,
        }
    }

    /// Whether it hides behind the switch for experimental functions.
    #[must_use]
    pub const fn is_experimental(self) -> bool {
        matches!(self, Self::LimitK | Self::LimitRatio)
    }
}

impl BinaryOp {
    /// All operators.
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
        Self::Atan2,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessEqual,
        Self::Greater,
        Self::GreaterEqual,
        Self::And,
        Self::Or,
        Self::Unless,
        Self::TrimUpper,
        Self::TrimLower,
    ];

    /// The operator as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    /// Binding strength, 1 (weakest) to 6.
    #[must_use]
    pub const fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual
            | Self::TrimUpper
            | Self::TrimLower => 3,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
        }
    }

    /// Whether it compares two values.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::LessEqual
                | Self::Greater
                | Self::GreaterEqual
        )
    }

    /// Whether it works on the presence of series.
    #[must_use]
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}
