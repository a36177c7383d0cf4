//! Reads expressions.

use super::catalog::Comparator;
use super::error::{SyntaxError, suggestion};
use super::json::Json;
use super::lexer::{Lexer, Token};
use super::names::Names;
use super::syntax::{Constant, Expr, Operator, Path, Root, Segment};

/// Levels of an expression.
const DEPTH_MAX: usize = 32;
/// Names that are words of the language.
const KEYWORDS: &[&str] = &["and", "or", "not", "in", "is", "if", "else"];

pub(super) struct Parser<'s> {
    pub(super) source: &'s str,
    pub(super) lexer: Lexer<'s>,
    pub(super) token: Token,
    pub(super) token_at: usize,
    /// Where the token before the current one ended.
    token_before_end: usize,
    names: Names<'s>,
    pub(super) locals: Vec<String>,
    /// The top-level names that were used.
    pub(super) used: Vec<String>,
    depth: usize,
    pub(super) patterns: usize,
}

pub(super) type Parsed<T> = Result<T, SyntaxError>;

impl<'s> Parser<'s> {
    pub(super) fn new(source: &'s str, names: &Names<'s>) -> Parser<'s> {
        Parser {
            source,
            lexer: Lexer { source, at: 0 },
            token: Token::End,
            token_at: 0,
            token_before_end: 0,
            names: *names,
            locals: Vec::new(),
            used: Vec::new(),
            depth: 0,
            patterns: 0,
        }
    }

    pub(super) fn error<T>(&self, at: usize, message: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError::at(self.source, at, message))
    }

    pub(super) fn advance(&mut self) -> Parsed<()> {
        self.token_before_end = self.lexer.at;
        (self.token, self.token_at) = self.lexer.next()?;
        Ok(())
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(&self.token, Token::Sign(found) if *found == sign)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Name(name) if name == word)
    }

    /// Takes the sign if it is next.
    pub(super) fn sign(&mut self, sign: &str) -> Parsed<bool> {
        let found = self.is_sign(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn word(&mut self, word: &str) -> Parsed<bool> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub(super) fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.sign(sign)? {
            return Ok(());
        }
        self.error(self.token_at, format!("expected `{sign}`, found {}", self.token.described()))
    }

    fn span(&self, start: usize) -> (u32, u32) {
        (start as u32, self.token_before_end.max(start) as u32)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_MAX {
            return self.error(self.token_at, format!("nested more than {DEPTH_MAX} levels deep"));
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// A whole expression.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            let value = parser.or()?;
            if !parser.word("if")? {
                return Ok(value);
            }
            let condition = Box::new(parser.or()?);
            let otherwise = if parser.word("else")? { Some(Box::new(parser.expression()?)) } else { None };
            Ok(Expr::If { value: Box::new(value), condition, otherwise })
        })
    }

    pub(super) fn or(&mut self) -> Parsed<Expr> {
        let mut all = vec![self.and()?];
        while self.word("or")? {
            all.push(self.and()?);
        }
        Ok(single(all, Expr::Or))
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut all = vec![self.not()?];
        while self.word("and")? {
            all.push(self.not()?);
        }
        Ok(single(all, Expr::And))
    }

    fn not(&mut self) -> Parsed<Expr> {
        if self.word("not")? {
            return self.deeper(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        self.compare()
    }

    fn comparator(&mut self) -> Parsed<Option<Comparator>> {
        let found = match &self.token {
            Token::Sign("==") => Comparator::Equal,
            Token::Sign("!=") => Comparator::NotEqual,
            Token::Sign("<") => Comparator::Less,
            Token::Sign("<=") => Comparator::LessOrEqual,
            Token::Sign(">") => Comparator::Greater,
            Token::Sign(">=") => Comparator::GreaterOrEqual,
            Token::Name(name) if name == "in" => Comparator::In,
            Token::Name(name) if name == "not" => {
                self.advance()?;
                if !self.is_word("in") {
                    return self.error(self.token_at, "expected `in` after `not`");
                }
                Comparator::NotIn
            }
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(found))
    }

    fn compare(&mut self) -> Parsed<Expr> {
        let start = self.token_at;
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparator) = self.comparator()? {
            rest.push((comparator, self.sum()?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr::Compare { first: Box::new(first), rest, span: self.span(start) })
    }

    fn sum(&mut self) -> Parsed<Expr> {
        self.arithmetic(&[("+", Operator::Add), ("-", Operator::Subtract)], Self::join)
    }

    /// In Jinja2 `~` binds tighter than `+` and looser than `*`.
    fn join(&mut self) -> Parsed<Expr> {
        let mut all = vec![self.product()?];
        while self.sign("~")? {
            all.push(self.product()?);
        }
        Ok(single(all, Expr::Join))
    }

    fn product(&mut self) -> Parsed<Expr> {
        self.arithmetic(&[("*", Operator::Multiply), ("/", Operator::Divide)], Self::unary)
    }

    fn arithmetic(
        &mut self,
        operators: &[(&'static str, Operator)],
        operand: fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let start = self.token_at;
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.is_sign(sign)) {
            self.advance()?;
            rest.push((*operator, operand(self)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr::Arithmetic { first: Box::new(first), rest, span: self.span(start) })
    }

    /// A minus binds tighter than filters, as in Jinja2: `-1|abs` is 1.
    fn unary(&mut self) -> Parsed<Expr> {
        let start = self.token_at;
        let value = self.negative()?;
        self.filtered(value, start)
    }

    fn negative(&mut self) -> Parsed<Expr> {
        if self.sign("-")? {
            return self.deeper(|parser| Ok(Expr::Negative(Box::new(parser.negative()?))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let at = self.token_at;
        match std::mem::replace(&mut self.token, Token::End) {
            Token::Text(text) => {
                self.advance()?;
                Ok(Expr::Constant(Constant::Text(text.into())))
            }
            Token::Integer(number) => {
                self.advance()?;
                Ok(Expr::Constant(Constant::Integer(number)))
            }
            Token::Float(number) => {
                self.advance()?;
                Ok(Expr::Constant(Constant::Float(number)))
            }
            Token::Sign("[") => {
                self.advance()?;
                self.list()
            }
            Token::Sign("(") => {
                self.advance()?;
                let value = self.expression()?;
                self.expect(")")?;
                self.path(Root::Value(Box::new(value)), at)
            }
            Token::Name(name) => self.name(&name, at),
            other => {
                self.token = other;
                let found = self.token.described();
                self.error(at, format!("expected a value, found {found}"))
            }
        }
    }

    fn name(&mut self, name: &str, at: usize) -> Parsed<Expr> {
        if KEYWORDS.contains(&name) {
            return self.error(at, format!("expected a value, found `{name}`"));
        }
        self.advance()?;
        if let Some(constant) = constant(name) {
            return Ok(Expr::Constant(constant));
        }
        if self.is_sign("(") {
            return self.error(
                at,
                format!("`{name}(…)`: functions cannot be called; filters are written `value|filter`"),
            );
        }
        if let Some(slot) = self.locals.iter().rposition(|local| local == name) {
            return self.path(Root::Local(slot), at);
        }
        if !self.names.has(name) {
            let known = self.names.all().chain(self.locals.iter().map(String::as_str));
            return self.error(at, format!("unknown name `{name}`{}", suggestion(name, known)));
        }
        if !self.used.iter().any(|used| used == name) {
            self.used.push(name.to_owned());
        }
        if name == "secrets" {
            return self.secret(at);
        }
        self.path(Root::Name(name.into()), at)
    }

    fn secret(&mut self, at: usize) -> Parsed<Expr> {
        let name = if self.sign(".")? {
            match std::mem::replace(&mut self.token, Token::End) {
                Token::Name(name) => name,
                Token::Integer(number) => number.to_string(),
                _ => return self.error(at, "write `secrets.` and the name of a secret"),
            }
        } else if self.sign("[")? {
            let Token::Text(name) = std::mem::replace(&mut self.token, Token::End) else {
                return self.error(at, "write `secrets.` and the name of a secret");
            };
            self.advance()?;
            if !self.is_sign("]") {
                return self.error(self.token_at, "expected `]`");
            }
            name
        } else {
            return self.error(at, "write `secrets.` and the name of a secret");
        };
        self.advance()?;
        let known = self.names.secrets().unwrap_or_default();
        if !known.contains(&name) {
            let known = known.iter().map(String::as_str);
            return self.error(at, format!("unknown secret `{name}`{}", suggestion(&name, known)));
        }
        if self.is_sign(".") || self.is_sign("[") {
            return self.error(self.token_at, "a secret is a text; it has no fields");
        }
        Ok(Expr::Secret { name: name.into(), at })
    }

    fn list(&mut self) -> Parsed<Expr> {
        let mut list = Vec::new();
        while !self.is_sign("]") {
            let at = self.token_at;
            let negative = self.sign("-")?;
            let value = match std::mem::replace(&mut self.token, Token::End) {
                Token::Text(text) if !negative => Some(Json::text(text)),
                Token::Integer(number) => Some(Json::Number(signed(negative, &number).into())),
                Token::Float(number) => Some(Json::Number(signed(negative, &number).into())),
                Token::Name(name) if !negative => constant(&name).map(|constant| match constant {
                    Constant::Bool(value) => Json::Bool(value),
                    _ => Json::Null,
                }),
                _ => None,
            };
            let Some(value) = value else {
                let wanted = "texts, numbers, true, false, none";
                return self.error(at, format!("a list may hold constants only: {wanted}"));
            };
            list.push(value);
            self.advance()?;
            if !self.sign(",")? {
                break;
            }
        }
        self.expect("]")?;
        Ok(Expr::List(list))
    }

    fn path(&mut self, root: Root, start: usize) -> Parsed<Expr> {
        let mut segments = Vec::new();
        loop {
            if self.sign(".")? {
                let at = self.token_at;
                match std::mem::replace(&mut self.token, Token::End) {
                    Token::Name(name) => segments.push(Segment::Field(name.into())),
                    Token::Integer(number) => {
                        let digits = &self.source[at..self.lexer.at];
                        segments.push(Segment::Digits(digits.into(), number));
                    }
                    // `.0.1` reads as a number with a fraction.
                    Token::Float(_) => {
                        for digits in self.source[at..self.lexer.at].split('.') {
                            let Ok(number) = digits.parse() else { return self.field_missing(at) };
                            segments.push(Segment::Digits(digits.into(), number));
                        }
                    }
                    _ => return self.field_missing(at),
                }
                self.advance()?;
                if self.is_sign("(") {
                    return self.error(
                        self.token_at,
                        "functions cannot be called; filters are written `value|filter`",
                    );
                }
            } else if self.sign("[")? {
                let inner = self.expression()?;
                self.expect("]")?;
                segments.push(match inner {
                    Expr::Constant(Constant::Text(field)) => Segment::Field(field),
                    inner => Segment::Computed(inner),
                });
            } else {
                break;
            }
        }
        let span = self.span(start);
        match root {
            Root::Value(value) if segments.is_empty() => Ok(*value),
            root => Ok(Expr::Path(Path { root, segments, span })),
        }
    }

    fn field_missing<T>(&self, at: usize) -> Parsed<T> {
        self.error(at, "expected the name of a field; write ['…'] for one with other characters")
    }

    /// Filters and tests that follow a value.
    fn filtered(&mut self, mut value: Expr, start: usize) -> Parsed<Expr> {
        loop {
            let mut calls = Vec::new();
            while self.sign("|")? {
                calls.push(self.call()?);
            }
            if !calls.is_empty() {
                value = Expr::Filtered { value: Box::new(value), calls, span: self.span(start) };
            }
            if !self.word("is")? {
                return Ok(value);
            }
            let negated = self.word("not")?;
            let test = self.test()?;
            value = Expr::Test { value: Box::new(value), test, negated, span: self.span(start) };
            if self.is_sign("|") || self.is_word("is") {
                return self.error(self.token_at, "put the test in parentheses");
            }
        }
    }
}

/// The only one, or the chain of all.
fn single(mut all: Vec<Expr>, chain: fn(Vec<Expr>) -> Expr) -> Expr {
    match all.pop() {
        Some(last) if all.is_empty() => last,
        Some(last) => {
            all.push(last);
            chain(all)
        }
        None => chain(all),
    }
}

fn signed(negative: bool, number: &dyn std::fmt::Debug) -> String {
    format!("{}{number:?}", if negative { "-" } else { "" })
}

fn constant(name: &str) -> Option<Constant> {
    Some(match name {
        "true" | "True" => Constant::Bool(true),
        "false" | "False" => Constant::Bool(false),
        "none" | "None" => Constant::None,
        _ => return None,
    })
}
