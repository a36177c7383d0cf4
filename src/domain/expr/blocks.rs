//! Reads templates: text, `{{ … }}`, `{% if %}`, `{% for %}`, and comments.

use super::error::{SyntaxError, suggestion};
use super::lexer::Token;
use super::parser::Parser;
use super::syntax::{Expr, Node};

/// Levels of blocks.
const BLOCKS_MAX: usize = 8;
/// Loops within loops.
const LOOPS_MAX: usize = 3;

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Elif,
    Else,
    Endif,
    Endfor,
}

pub(super) struct Blocks<'p, 's> {
    parser: &'p mut Parser<'s>,
    /// Whether white space is removed from the beginning of the next text.
    trim: bool,
    /// Open blocks: the tag and where it is.
    open: Vec<(&'static str, usize)>,
}

type Parsed<T> = Result<T, SyntaxError>;

impl<'p, 's> Blocks<'p, 's> {
    /// The nodes of the whole source.
    pub(super) fn read(parser: &'p mut Parser<'s>) -> Parsed<Vec<Node>> {
        let mut blocks = Blocks { parser, trim: false, open: Vec::new() };
        Ok(blocks.nodes()?.0)
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Parsed<T> {
        self.parser.error(at, message)
    }

    /// Nodes up to a tag that ends them.
    fn nodes(&mut self) -> Parsed<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        loop {
            let start = self.parser.lexer.at;
            let source = self.parser.source;
            let (end, opening) = next_tag(source, start);
            self.text(&source[start..end], opening, &mut nodes);
            let Some(opening) = opening else {
                if let Some((tag, at)) = self.open.last() {
                    return self.error(*at, format!("`{tag}` has no `{{% end{tag} %}}`"));
                }
                return Ok((nodes, End::Source));
            };
            self.parser.lexer.at = end + 2 + usize::from(source[end + 2..].starts_with('-'));
            match opening {
                "{#" => self.comment(end)?,
                "{{" => nodes.push(self.output(end)?),
                _ => {
                    if let Some(end) = self.tag(end, &mut nodes)? {
                        return Ok((nodes, end));
                    }
                }
            }
        }
    }

    fn text(&mut self, mut text: &'s str, opening: Option<&str>, nodes: &mut Vec<Node>) {
        let behind = self.parser.lexer.at + text.len();
        if std::mem::take(&mut self.trim) {
            text = text.trim_start();
        }
        match opening {
            Some(_) if self.parser.source[behind + 2..].starts_with('-') => text = text.trim_end(),
            // As in Jinja2, a single line break at the end is not part of the template.
            None => {
                text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
            }
            Some(_) => {}
        }
        if !text.is_empty() {
            nodes.push(Node::Text(text.to_owned()));
        }
    }

    fn comment(&mut self, at: usize) -> Parsed<()> {
        let from = self.parser.lexer.at;
        let source = self.parser.source;
        let Some(length) = source[from..].find("#}") else {
            return self.error(at, "the comment that begins here has no `#}`");
        };
        self.trim = source[from..from + length].ends_with('-');
        self.parser.lexer.at = from + length + 2;
        Ok(())
    }

    /// The end of a tag.
    fn close(&mut self, wanted: &str, opened: usize) -> Parsed<()> {
        match &self.parser.token {
            Token::Close { sign, trim } if *sign == wanted => {
                self.trim = *trim;
                Ok(())
            }
            Token::End => self.error(opened, format!("the tag that begins here has no `{wanted}`")),
            found => {
                let found = found.described();
                self.error(self.parser.token_at, format!("expected `{wanted}` or an operator, found {found}"))
            }
        }
    }

    fn output(&mut self, at: usize) -> Parsed<Node> {
        self.parser.advance()?;
        let value = self.parser.expression()?;
        self.close("}}", at)?;
        let secret = match value.secret() {
            None => false,
            Some(_) if value.is_secret_text() => true,
            Some(at) => return self.secret_misused(at),
        };
        Ok(Node::Output { value, secret })
    }

    fn secret_misused<T>(&self, at: usize) -> Parsed<T> {
        self.error(
            at,
            "a secret may stand alone or be joined with constants and secrets by `~`; only `urlencode` and `b64` \
             may follow",
        )
    }

    /// The expression of a tag, which may not use secrets.
    fn open_value(&mut self, read: fn(&mut Parser<'s>) -> Parsed<Expr>) -> Parsed<Expr> {
        let value = read(self.parser)?;
        match value.secret() {
            Some(at) => self.secret_misused(at),
            None => Ok(value),
        }
    }

    /// A `{% … %}`: adds its node, or says how the nodes before it end.
    fn tag(&mut self, at: usize, nodes: &mut Vec<Node>) -> Parsed<Option<End>> {
        self.parser.advance()?;
        let Token::Name(name) = self.parser.token.clone() else {
            return self.error(self.parser.token_at, "expected `if` or `for`");
        };
        let inside = self.open.last().map(|(tag, _)| *tag);
        let end = match (name.as_str(), inside) {
            ("if", _) => {
                nodes.push(self.branches(at)?);
                return Ok(None);
            }
            ("for", _) => {
                nodes.push(self.repetition(at)?);
                return Ok(None);
            }
            ("elif", Some("if")) => return self.parser.advance().map(|()| Some(End::Elif)),
            ("else", Some("if")) => End::Else,
            ("endif", Some("if")) => End::Endif,
            ("endfor", Some("for")) => End::Endfor,
            ("else", Some("for")) => return self.error(at, "`else` of a loop is not supported"),
            ("elif" | "else" | "endif" | "endfor", _) => {
                return self.error(at, format!("`{name}` without its block"));
            }
            _ => {
                let known = ["if", "elif", "else", "endif", "for", "endfor"].into_iter();
                return self.error(at, format!("`{name}` is not supported{}", suggestion(&name, known)));
            }
        };
        self.parser.advance()?;
        self.close("%}", at)?;
        Ok(Some(end))
    }

    fn enter(&mut self, tag: &'static str, at: usize) -> Parsed<()> {
        if self.open.len() >= BLOCKS_MAX {
            return self.error(at, format!("blocks are nested more than {BLOCKS_MAX} levels deep"));
        }
        self.open.push((tag, at));
        Ok(())
    }

    fn branches(&mut self, at: usize) -> Parsed<Node> {
        self.enter("if", at)?;
        let mut branches = Vec::new();
        self.parser.advance()?;
        let otherwise = loop {
            let condition = self.open_value(Parser::expression)?;
            self.close("%}", at)?;
            let (body, end) = self.nodes()?;
            branches.push((condition, body));
            match end {
                End::Elif => {}
                End::Else => {
                    let here = self.parser.token_at;
                    let (body, end) = self.nodes()?;
                    if end != End::Endif {
                        return self.error(here, "`else` is the last branch of an `if`");
                    }
                    break body;
                }
                _ => break Vec::new(),
            }
        };
        self.open.pop();
        Ok(Node::If { branches, otherwise })
    }

    fn repetition(&mut self, at: usize) -> Parsed<Node> {
        self.enter("for", at)?;
        if self.open.iter().filter(|(tag, _)| *tag == "for").count() > LOOPS_MAX {
            return self.error(at, format!("loops are nested more than {LOOPS_MAX} levels deep"));
        }
        self.parser.advance()?;
        let variable = match &self.parser.token {
            Token::Name(name) => name.clone(),
            _ => return self.error(self.parser.token_at, "expected the name of a variable after `for`"),
        };
        let reserved =
            ["secrets", "loop", "true", "false", "none", "and", "or", "not", "in", "is", "if", "else"];
        if reserved.contains(&variable.as_str()) {
            return self
                .error(self.parser.token_at, format!("`{variable}` cannot be the name of a variable"));
        }
        self.parser.advance()?;
        if !self.parser.word("in")? {
            return self.error(self.parser.token_at, "expected `in`; a loop has one variable: for x in list");
        }
        let list = self.open_value(Parser::or)?;
        if self.parser.is_word("if") {
            return self
                .error(self.parser.token_at, "a condition of a loop is not supported; use `selectattr`");
        }
        self.close("%}", at)?;
        self.parser.locals.push(variable);
        let (body, _) = self.nodes()?;
        self.parser.locals.pop();
        self.open.pop();
        Ok(Node::For { list, body })
    }
}

/// Where the next tag begins, and which.
fn next_tag(source: &str, from: usize) -> (usize, Option<&str>) {
    let mut at = from;
    while let Some(found) = source[at..].find('{') {
        at += found;
        if let Some(opening) = source.get(at..at + 2)
            && matches!(opening, "{{" | "{%" | "{#")
        {
            return (at, Some(opening));
        }
        at += 1;
    }
    (source.len(), None)
}
