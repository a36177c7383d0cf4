//! The small language of filters, bodies, URLs, event types and summaries: a strict subset of Jinja2.
//!
//! A template is parsed once, when it is saved; every mistake has a line, a column, and the nearest known name.
//! A run borrows from the payload and builds no lists or objects of its own, and everything it does is charged to a
//! [`Budget`] before it is done. So there is no template, and no payload, that makes a run long or large. The
//! language itself is described in `docs/integrations-language.md`.
//!
//! ```text
//! lexer ─▶ parser ─▶ blocks ─▶ syntax tree ─▶ evaluate ─▶ filters
//! ```

mod blocks;
mod budget;
mod calls;
mod catalog;
mod dates;
mod error;
mod evaluate;
mod filters;
mod json;
mod lexer;
mod names;
mod notes;
mod operations;
mod parser;
mod patterns;
mod run;
mod syntax;
mod value;

pub use budget::{Budget, Cost, Overrun};
pub use error::SyntaxError;
pub use json::{Json, JsonError, JsonErrorKind, Object, text_bound, write_text};
pub use names::{Names, Scope};
pub use notes::{Comparison, Notes};
pub use run::{MASK, Piece, Run};
pub use value::{Items, Number, Value};

use blocks::Blocks;
use evaluate::Evaluator;
use lexer::Token;
use parser::Parser;
use syntax::{Expr, Node};

/// Bytes of a template.
pub const TEMPLATE_MAX: usize = 16 * 1024;

/// A text with expressions in it.
#[derive(Debug)]
pub struct Template {
    source: String,
    nodes: Vec<Node>,
    used: Vec<String>,
}

impl Template {
    pub fn parse(text: &str, names: &Names<'_>) -> Result<Template, SyntaxError> {
        check_length(text)?;
        let mut parser = Parser::new(text, names);
        let nodes = Blocks::read(&mut parser)?;
        Ok(Template { source: text.to_owned(), nodes, used: parser.used })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it uses a top-level name, such as `payload`.
    pub fn uses(&self, root: &str) -> bool {
        self.used.iter().any(|used| used == root)
    }

    /// The texts between its tags.
    pub fn literals(&self) -> Vec<&str> {
        let mut found = Vec::new();
        syntax::walk(&self.nodes, &mut |node| {
            if let Node::Text(text) = node {
                found.push(text.as_str());
            }
        });
        found
    }

    /// What the expressions with secrets come to, such as `user:password` in Base64.
    pub fn secret_texts<'a>(&'a self, scope: &'a Scope<'a>) -> Vec<String> {
        let mut found = Vec::new();
        syntax::walk(&self.nodes, &mut |node| {
            if let Node::Output { value, secret: true } = node
                && let Ok(Value::Text(text)) =
                    Evaluator::new(&self.source, scope, &mut Run::new(&mut Budget::render())).value(value)
            {
                found.push(text.into_owned());
            }
        });
        found
    }

    pub fn render<'a>(&'a self, scope: &'a Scope<'a>, budget: &mut Budget) -> Result<String, Overrun> {
        self.render_as(scope, &mut Run::new(budget))
    }

    /// Renders with masks or notes.
    pub fn render_as<'a>(&'a self, scope: &'a Scope<'a>, run: &mut Run<'_>) -> Result<String, Overrun> {
        let mut out = String::new();
        self.render_pieces(scope, run, &mut |piece| match piece {
            Piece::Literal(text) | Piece::Value(text) | Piece::Secret(text) => out.push_str(text),
        })?;
        Ok(out)
    }

    /// Renders piece by piece, for places that encode values, such as URLs.
    pub fn render_pieces<'a>(
        &'a self,
        scope: &'a Scope<'a>,
        run: &mut Run<'_>,
        emit: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), Overrun> {
        Evaluator::new(&self.source, scope, run).nodes(&self.nodes, emit)
    }

    /// The value, if the template is exactly one `{{ … }}`; of one with a secret the text.
    pub fn sole_value<'a>(
        &'a self,
        scope: &'a Scope<'a>,
        run: &mut Run<'_>,
    ) -> Option<Result<Value<'a>, Overrun>> {
        match self.nodes.as_slice() {
            [Node::Output { value, secret }] => {
                if *secret && run.masked {
                    return Some(Ok(Value::Text(MASK.into())));
                }
                Some(Evaluator::new(&self.source, scope, run).value(value))
            }
            _ => None,
        }
    }
}

/// What stands between `{{` and `}}`, alone: a filter, `accept`, `expect`, the list of `$each`.
#[derive(Debug)]
pub struct Expression {
    source: String,
    value: Expr,
    used: Vec<String>,
}

impl Expression {
    pub fn parse(text: &str, names: &Names<'_>) -> Result<Expression, SyntaxError> {
        check_length(text)?;
        let mut parser = Parser::new(text, names);
        parser.advance()?;
        let value = parser.expression()?;
        if parser.token != Token::End {
            let message = format!("expected an operator or the end, found {}", parser.token.described());
            return parser.error(parser.token_at, message);
        }
        if let Some(at) = value.secret() {
            return parser.error(at, "a secret cannot be used here");
        }
        Ok(Expression { source: text.to_owned(), value, used: parser.used })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it uses a top-level name, such as `payload`.
    pub fn uses(&self, root: &str) -> bool {
        self.used.iter().any(|used| used == root)
    }

    pub fn evaluate<'a>(&'a self, scope: &'a Scope<'a>, run: &mut Run<'_>) -> Result<Value<'a>, Overrun> {
        Evaluator::new(&self.source, scope, run).value(&self.value)
    }

    /// Whether the value is true, as Jinja2 has it.
    pub fn decide<'a>(&'a self, scope: &'a Scope<'a>, run: &mut Run<'_>) -> Result<bool, Overrun> {
        let value = self.evaluate(scope, run)?;
        value.is_true(run.budget)
    }

    /// The same, within a budget.
    pub fn is_true<'a>(&'a self, scope: &'a Scope<'a>, budget: &mut Budget) -> Result<bool, Overrun> {
        self.decide(scope, &mut Run::new(budget))
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(in crate::domain) use hostile_tests::any_json;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;

fn check_length(text: &str) -> Result<(), SyntaxError> {
    if text.len() > TEMPLATE_MAX {
        let message = format!("longer than {} KiB", TEMPLATE_MAX / 1024);
        return Err(SyntaxError::at(text, 0, message));
    }
    Ok(())
}
