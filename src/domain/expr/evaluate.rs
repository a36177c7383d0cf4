//! Runs a template over a scope.

use std::borrow::Cow;

use super::budget::Overrun;
use super::catalog::{Comparator, Filter};
use super::filters;
use super::names::Scope;
use super::notes::Comparison;
use super::operations::{calculate, character, compare, field};
use super::run::{MASK, Piece, Run};
use super::syntax::{Expr, Node, Operator, Path, Root, Segment, Span, Test};
use super::value::{Items, Value, charge_digits};

pub(super) struct Evaluator<'a, 'e, 'r> {
    pub(super) source: &'a str,
    pub(super) scope: &'a Scope<'a>,
    pub(super) run: &'e mut Run<'r>,
    locals: Vec<Value<'a>>,
    /// Where a missing path is expected: in conditions, before `or` and `default`.
    quiet: bool,
}

type Evaluated<'a> = Result<Value<'a>, Overrun>;

impl<'a, 'e, 'r> Evaluator<'a, 'e, 'r> {
    pub(super) fn new(source: &'a str, scope: &'a Scope<'a>, run: &'e mut Run<'r>) -> Self {
        Evaluator { source, scope, run, locals: Vec::new(), quiet: false }
    }

    fn excerpt(&self, span: Span) -> &'a str {
        self.source.get(span.0 as usize..span.1 as usize).unwrap_or_default().trim()
    }

    pub(super) fn nodes(
        &mut self,
        nodes: &'a [Node],
        emit: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), Overrun> {
        for node in nodes {
            self.run.budget.steps(1)?;
            match node {
                Node::Text(text) => {
                    self.run.budget.output(text.len())?;
                    emit(Piece::Literal(text));
                }
                Node::Output { value, secret } => self.output(value, *secret, emit)?,
                Node::If { branches, otherwise } => {
                    let mut chosen = otherwise.as_slice();
                    for (condition, body) in branches {
                        if self.holds(condition)? {
                            chosen = body;
                            break;
                        }
                    }
                    self.nodes(chosen, emit)?;
                }
                Node::For { list, body } => {
                    let Value::List(items) = self.quietly(list)? else { continue };
                    for index in 0..items.len() {
                        self.run.budget.steps(1)?;
                        self.locals.push(items.at(index));
                        let result = self.nodes(body, emit);
                        self.locals.pop();
                        result?;
                    }
                }
            }
        }
        Ok(())
    }

    fn output(
        &mut self,
        value: &'a Expr,
        secret: bool,
        emit: &mut dyn FnMut(Piece<'_>),
    ) -> Result<(), Overrun> {
        if secret && self.run.masked {
            self.run.budget.output(MASK.len())?;
            emit(Piece::Secret(MASK));
            return Ok(());
        }
        let text = match self.value(value)? {
            Value::Text(text) => text,
            Value::Missing | Value::None => Cow::Borrowed(""),
            other => {
                let bound = other.printed_bound(self.run.budget)?;
                self.run.budget.output(bound)?;
                let mut text = String::with_capacity(bound);
                other.print(&mut text);
                let piece = if secret { Piece::Secret(&text) } else { Piece::Value(&text) };
                emit(piece);
                return Ok(());
            }
        };
        self.run.budget.output(text.len())?;
        emit(if secret { Piece::Secret(&text) } else { Piece::Value(&text) });
        Ok(())
    }

    fn quietly(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        let before = std::mem::replace(&mut self.quiet, true);
        let value = self.value(expr);
        self.quiet = before;
        value
    }

    fn holds(&mut self, condition: &'a Expr) -> Result<bool, Overrun> {
        let value = self.quietly(condition)?;
        value.is_true(self.run.budget)
    }

    pub(super) fn value(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        self.run.budget.steps(1)?;
        match expr {
            Expr::Constant(constant) => Ok(Value::constant(constant)),
            Expr::List(list) => Ok(Value::List(Items::Json(list))),
            Expr::Path(path) => self.path(path),
            Expr::Secret { name, .. } => {
                let secret = if self.run.masked { MASK } else { self.scope.secret(name) };
                Ok(Value::Text(Cow::Borrowed(secret)))
            }
            Expr::Not(inner) => Ok(Value::Bool(!self.holds(inner)?)),
            Expr::Negative(inner) => self.negative(inner),
            Expr::Or(all) => self.first(all, true),
            Expr::And(all) => self.first(all, false),
            Expr::Compare { first, rest, span } => self.compare(first, rest, *span),
            Expr::Arithmetic { first, rest, span } => self.arithmetic(first, rest, *span),
            Expr::Join(all) => self.join(all),
            Expr::If { value, condition, otherwise } => {
                if self.holds(condition)? {
                    return self.value(value);
                }
                match otherwise {
                    Some(otherwise) => self.value(otherwise),
                    None => Ok(Value::Missing),
                }
            }
            Expr::Filtered { value, calls, span } => {
                let defaulted = calls.iter().any(|call| call.filter == Filter::Default);
                let mut value = if defaulted { self.quietly(value)? } else { self.value(value)? };
                for call in calls {
                    self.run.budget.steps(1)?;
                    let mut arguments = [Value::Missing, Value::Missing, Value::Missing];
                    for (slot, argument) in arguments.iter_mut().zip(&call.arguments) {
                        *slot = self.value(argument)?;
                    }
                    let excerpt = self.excerpt(*span);
                    value = filters::apply(call.filter, value, arguments, self.run, excerpt)?;
                }
                Ok(value)
            }
            Expr::Test { value, test, negated, span } => self.test(value, test, *negated, *span),
        }
    }

    fn path(&mut self, path: &'a Path) -> Evaluated<'a> {
        let mut value = match &path.root {
            Root::Name(name) => self.scope.get(name),
            Root::Local(slot) => self.locals.get(*slot).cloned().unwrap_or(Value::Missing),
            Root::Value(inner) => self.value(inner)?,
        };
        self.run.budget.steps(path.segments.len())?;
        for segment in &path.segments {
            value = match segment {
                Segment::Field(name) => {
                    self.run.budget.scan(name.len())?;
                    field(&value, name)
                }
                Segment::Digits(text, number) => match &value {
                    Value::List(list) => list.at_either_end(*number),
                    other => field(other, text),
                },
                Segment::Computed(inner) => {
                    let key = self.value(inner)?;
                    self.index(value, &key)?
                }
            };
        }
        if value.is_missing() && !self.quiet && self.run.notes.is_some() {
            let excerpt = self.excerpt(path.span);
            if let Some(notes) = self.run.notes.as_deref_mut() {
                notes.is_missing(excerpt);
            }
        }
        Ok(value)
    }

    fn index(&mut self, value: Value<'a>, key: &Value<'a>) -> Evaluated<'a> {
        Ok(match (value, key) {
            (Value::List(list), Value::Number(number)) => {
                charge_digits(number, self.run.budget)?;
                number.whole().map_or(Value::Missing, |index| list.at_either_end(index))
            }
            (Value::Text(text), Value::Number(number)) => {
                charge_digits(number, self.run.budget)?;
                self.run.budget.scan(text.len())?;
                number.whole().map_or(Value::Missing, |index| character(text, index))
            }
            (value @ Value::Object(_), Value::Text(name)) => {
                self.run.budget.scan(name.len())?;
                field(&value, name)
            }
            _ => Value::Missing,
        })
    }

    /// The first value that decides an `or` or an `and`, or the last one.
    fn first(&mut self, all: &'a [Expr], decides: bool) -> Evaluated<'a> {
        let Some((last, before)) = all.split_last() else { return Ok(Value::Missing) };
        for expr in before {
            let value = self.quietly(expr)?;
            if value.is_true(self.run.budget)? == decides {
                return Ok(value);
            }
        }
        self.value(last)
    }

    fn compare(&mut self, first: &'a Expr, rest: &'a [(Comparator, Expr)], span: Span) -> Evaluated<'a> {
        let mut left = self.quietly(first)?;
        for (comparator, expr) in rest {
            let right = self.quietly(expr)?;
            let result = compare(&left, *comparator, &right, self.run.budget)?;
            let expression = self.excerpt(span);
            if let Some(notes) = self.run.notes.as_deref_mut() {
                notes.comparison(|| Comparison {
                    expression: expression.to_owned(),
                    left: left.preview(),
                    right: right.preview(),
                    result,
                });
            }
            if !result {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn test(&mut self, value: &'a Expr, test: &'a Test, negated: bool, span: Span) -> Evaluated<'a> {
        let value = self.quietly(value)?;
        let holds = match (test, &value) {
            (Test::Defined, value) => !value.is_missing(),
            (Test::None, value) => value.is_none(),
            (Test::String, value) => matches!(value, Value::Text(_)),
            (Test::Number, value) => matches!(value, Value::Number(_)),
            (Test::Mapping, value) => matches!(value, Value::Object(_)),
            (Test::Sequence, value) => matches!(value, Value::List(_)),
            (Test::Pattern { .. }, Value::Missing | Value::None | Value::Object(_) | Value::List(_)) => false,
            (Test::Pattern { pattern, cost }, value) => {
                let text = value.clone().into_text(self.run.budget)?;
                self.run.budget.pattern(text.len(), *cost)?;
                pattern.is_match(&text)
            }
        };
        let result = holds != negated;
        let expression = self.excerpt(span);
        if let Some(notes) = self.run.notes.as_deref_mut() {
            notes.comparison(|| Comparison {
                expression: expression.to_owned(),
                left: value.preview(),
                right: String::new(),
                result,
            });
        }
        Ok(Value::Bool(result))
    }

    fn negative(&mut self, inner: &'a Expr) -> Evaluated<'a> {
        let Value::Number(number) = self.value(inner)? else { return Ok(Value::Missing) };
        charge_digits(&number, self.run.budget)?;
        Ok(match number.integer() {
            Some(number) => number.checked_neg().map_or(Value::Missing, Value::integer),
            None => Value::float(-number.float()),
        })
    }

    fn arithmetic(&mut self, first: &'a Expr, rest: &'a [(Operator, Expr)], span: Span) -> Evaluated<'a> {
        let mut left = self.value(first)?;
        for (operator, expr) in rest {
            let right = self.value(expr)?;
            left = match (&left, &right) {
                (Value::Number(a), Value::Number(b)) => {
                    charge_digits(a, self.run.budget)?;
                    charge_digits(b, self.run.budget)?;
                    calculate(a, *operator, b)
                }
                _ => {
                    let excerpt = self.excerpt(span);
                    if let Some(notes) = self.run.notes.as_deref_mut() {
                        notes.hint(format!("{excerpt}: needs numbers; `~` joins texts"));
                    }
                    Value::Missing
                }
            };
        }
        Ok(left)
    }

    fn join(&mut self, all: &'a [Expr]) -> Evaluated<'a> {
        let mut out = String::new();
        for expr in all {
            let value = self.value(expr)?;
            let bound = value.printed_bound(self.run.budget)?;
            self.run.budget.make(bound)?;
            value.print(&mut out);
        }
        Ok(Value::Text(Cow::Owned(out)))
    }
}
