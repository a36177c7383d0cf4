//! What the parser makes of a template. Chains are flat (`a ~ b ~ c` is one node), so that the depth of a tree is
//! bounded by the depth that the parser allows.

use super::catalog::{Comparator, Filter};
use super::json::Json;

/// Bytes of the source, from and to.
pub(super) type Span = (u32, u32);

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// `{{ … }}`. One that holds a secret is shown as a mask.
    Output {
        value: Expr,
        secret: bool,
    },
    If {
        branches: Vec<(Expr, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    /// The variable is in the slot that the number of loops around this one names.
    For {
        list: Expr,
        body: Vec<Node>,
    },
}

#[derive(Debug)]
pub(super) enum Expr {
    Constant(Constant),
    List(Vec<Json<'static>>),
    Path(Path),
    Secret {
        name: Box<str>,
        at: usize,
    },
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Or(Vec<Expr>),
    And(Vec<Expr>),
    /// `a < b`, or `a < b < c` as in Python: each pair.
    Compare {
        first: Box<Expr>,
        rest: Vec<(Comparator, Expr)>,
        span: Span,
    },
    Arithmetic {
        first: Box<Expr>,
        rest: Vec<(Operator, Expr)>,
        span: Span,
    },
    Join(Vec<Expr>),
    If {
        value: Box<Expr>,
        condition: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
    Filtered {
        value: Box<Expr>,
        calls: Vec<Call>,
        span: Span,
    },
    Test {
        value: Box<Expr>,
        test: Test,
        negated: bool,
        span: Span,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    None,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(Box<str>),
}

#[derive(Debug)]
pub(super) struct Path {
    pub(super) root: Root,
    pub(super) segments: Vec<Segment>,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) enum Root {
    Name(Box<str>),
    /// The variable of a loop.
    Local(usize),
    /// `(…)[0]`
    Value(Box<Expr>),
}

#[derive(Debug)]
pub(super) enum Segment {
    Field(Box<str>),
    /// `.0`: of a list the element, of an object the key.
    Digits(Box<str>, i128),
    Computed(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A filter with its arguments; those that have to be constants are checked by the parser.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) filter: Filter,
    pub(super) arguments: Vec<Expr>,
}

#[derive(Debug)]
pub(super) enum Test {
    Defined,
    None,
    String,
    Number,
    Mapping,
    Sequence,
    /// `match` is anchored at the beginning; `cost` is what a byte of text counts for.
    Pattern {
        pattern: regex::Regex,
        cost: usize,
    },
}

impl Expr {
    /// Where a secret is used in here, if one is.
    pub(super) fn secret(&self) -> Option<usize> {
        match self {
            Expr::Secret { at, .. } => Some(*at),
            Expr::Constant(_) | Expr::List(_) => None,
            Expr::Path(path) => path.secret(),
            Expr::Not(inner) | Expr::Negative(inner) => inner.secret(),
            Expr::Or(all) | Expr::And(all) | Expr::Join(all) => all.iter().find_map(Expr::secret),
            Expr::Compare { first, rest, .. } => {
                first.secret().or_else(|| rest.iter().find_map(|(_, other)| other.secret()))
            }
            Expr::Arithmetic { first, rest, .. } => {
                first.secret().or_else(|| rest.iter().find_map(|(_, other)| other.secret()))
            }
            Expr::If { value, condition, otherwise } => [Some(value), Some(condition), otherwise.as_ref()]
                .into_iter()
                .flatten()
                .find_map(|inner| inner.secret()),
            Expr::Filtered { value, calls, .. } => value
                .secret()
                .or_else(|| calls.iter().flat_map(|call| &call.arguments).find_map(Expr::secret)),
            Expr::Test { value, .. } => value.secret(),
        }
    }

    /// Whether this is a secret, or a chain of secrets and constants, as text.
    pub(super) fn is_secret_text(&self) -> bool {
        match self {
            Expr::Secret { .. } | Expr::Constant(_) => true,
            Expr::Join(all) => all.iter().all(Expr::is_secret_text),
            Expr::Filtered { value, calls, .. } => {
                value.is_secret_text()
                    && calls.iter().all(|call| matches!(call.filter, Filter::Urlencode | Filter::B64))
            }
            _ => false,
        }
    }
}

impl Path {
    fn secret(&self) -> Option<usize> {
        let in_root = match &self.root {
            Root::Value(value) => value.secret(),
            Root::Name(_) | Root::Local(_) => None,
        };
        in_root.or_else(|| {
            self.segments.iter().find_map(|segment| match segment {
                Segment::Computed(inner) => inner.secret(),
                Segment::Field(_) | Segment::Digits(..) => None,
            })
        })
    }
}

/// Calls `visit` with the texts between tags and the values that are printed.
pub(super) fn walk<'n>(nodes: &'n [Node], visit: &mut dyn FnMut(&'n Node)) {
    for node in nodes {
        visit(node);
        match node {
            Node::If { branches, otherwise } => {
                branches.iter().for_each(|(_, body)| walk(body, visit));
                walk(otherwise, visit);
            }
            Node::For { body, .. } => walk(body, visit),
            Node::Text(_) | Node::Output { .. } => {}
        }
    }
}
