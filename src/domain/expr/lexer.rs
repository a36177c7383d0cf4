//! Cuts the inside of a tag into tokens.

use super::error::SyntaxError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Integer(i128),
    Float(f64),
    /// An operator or bracket.
    Sign(&'static str),
    /// `}}` or `%}`, with `-` before it or not.
    Close {
        sign: &'static str,
        trim: bool,
    },
    End,
}

impl Token {
    /// As an error names it.
    pub(super) fn described(&self) -> String {
        match self {
            Token::Name(name) => format!("`{name}`"),
            Token::Text(_) => "a text".to_owned(),
            Token::Integer(_) | Token::Float(_) => "a number".to_owned(),
            Token::Sign(sign) | Token::Close { sign, .. } => format!("`{sign}`"),
            Token::End => "the end".to_owned(),
        }
    }
}

/// Two characters first, or `<=` would be read as `<`.
const SIGNS: &[&str] =
    &["==", "!=", "<=", ">=", "<", ">", "~", "+", "-", "*", "/", "|", ".", ",", "(", ")", "[", "]"];

/// What is not in the language but often written, with what to write.
const FOREIGN: &[(&str, &str)] = &[
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("//", "`//` is not supported; write `(a / b)|int`"),
    ("**", "`**` is not supported"),
    ("%", "`%` is not supported"),
    ("!", "write `not`"),
    ("=", "write `==` to compare; there are no assignments and no named arguments"),
    ("?", "write `a if condition else b`"),
    ("{", "objects cannot be written in a template"),
    (":", "objects and slices are not supported"),
    ("`", "write texts in ' or \""),
];

pub(super) struct Lexer<'s> {
    pub(super) source: &'s str,
    pub(super) at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::at(self.source, at, message))
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token, usize), SyntaxError> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok((Token::End, start)) };
        for (sign, trim, close) in
            [("}}", false, "}}"), ("%}", false, "%}"), ("-}}", true, "}}"), ("-%}", true, "%}")]
        {
            if rest.starts_with(sign) {
                self.at += sign.len();
                return Ok((Token::Close { sign: close, trim }, start));
            }
        }
        let token = match first {
            '\'' | '"' => self.text(first)?,
            '0'..='9' => self.number()?,
            c if c.is_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                self.at += end;
                Token::Name(rest[..end].to_owned())
            }
            _ => self.sign(first)?,
        };
        Ok((token, start))
    }

    fn sign(&mut self, first: char) -> Result<Token, SyntaxError> {
        let rest = self.rest();
        let foreign = FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign));
        if let Some((_, advice)) = foreign
            && !rest.starts_with("==")
            && !rest.starts_with("!=")
        {
            return self.error(self.at, *advice);
        }
        match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => {
                self.at += sign.len();
                Ok(Token::Sign(sign))
            }
            None => self.error(self.at, format!("unexpected character {first:?}")),
        }
    }

    /// `\\`, `\'`, `\"`, `\n` and `\t` are escapes; any other `\x` stays as written, so `'\d'` works.
    fn text(&mut self, quote: char) -> Result<Token, SyntaxError> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + c.len_utf8();
                    return Ok(Token::Text(text));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '\'' | '"'))) => text.push(c),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        self.error(start, format!("the text that begins here has no closing {quote}"))
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let rest = self.rest().as_bytes();
        let digits = |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = digits(0);
        let mut whole = true;
        if rest.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
            whole = false;
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            if digits(end + 1 + sign) > 0 {
                end += 1 + sign + digits(end + 1 + sign);
                whole = false;
            }
        }
        let text = &self.rest()[..end];
        let token = if whole {
            text.parse().map(Token::Integer).ok()
        } else {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Token::Float)
        };
        let Some(token) = token else { return self.error(self.at, "the number is too large") };
        self.at += end;
        if self.rest().starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return self.error(self.at, "a name cannot begin with a digit");
        }
        Ok(token)
    }
}
