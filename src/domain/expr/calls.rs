//! Reads filters and tests, and checks those of their arguments that have to be constants.

use super::catalog::{FILTERS, Filter, SELECTIONS, Selection, TESTS, selection};
use super::dates;
use super::error::suggestion;
use super::lexer::Token;
use super::parser::{Parsed, Parser};
use super::patterns;
use super::syntax::{Call, Constant, Expr, Test};

/// Regular expressions of one template: each takes memory while it is kept.
const PATTERNS_MAX: usize = 32;

impl Parser<'_> {
    pub(super) fn call(&mut self) -> Parsed<Call> {
        let at = self.token_at;
        let Token::Name(name) = std::mem::replace(&mut self.token, Token::End) else {
            return self.error(at, "expected the name of a filter after `|`");
        };
        let Some((_, filter, least, most)) = FILTERS.iter().find(|(known, ..)| *known == name) else {
            let known = FILTERS.iter().map(|(known, ..)| *known);
            return self.error(at, format!("unknown filter `{name}`{}", suggestion(&name, known)));
        };
        self.advance()?;
        let arguments = if self.is_sign("(") { self.arguments()? } else { Vec::new() };
        if arguments.len() < *least || arguments.len() > *most {
            let wanted = match (least, most) {
                (0, 0) => "no arguments".to_owned(),
                (1, 1) => "1 argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            return self.error(at, format!("the filter `{name}` takes {wanted}, not {}", arguments.len()));
        }
        self.check_arguments(*filter, &arguments, at)?;
        Ok(Call { filter: *filter, arguments })
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.is_sign(")") {
            arguments.push(self.expression()?);
            if !self.sign(",")? {
                break;
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    /// What has to be a constant, so that it is checked now.
    fn check_arguments(&self, filter: Filter, arguments: &[Expr], at: usize) -> Parsed<()> {
        let text = |index: usize| match arguments.get(index) {
            Some(Expr::Constant(Constant::Text(text))) => Some(text.as_ref()),
            _ => None,
        };
        match filter {
            Filter::Map | Filter::Sort | Filter::Selectattr if !arguments.is_empty() && text(0).is_none() => {
                self.error(at, "the first argument is the name of a field, as a constant text")
            }
            Filter::Selectattr if arguments.len() > 1 => match text(1).map(|name| (name, selection(name))) {
                Some((_, Some(selection))) => {
                    let unary = selection == Selection::Defined;
                    if unary == (arguments.len() == 3) {
                        return self
                            .error(at, "a comparison takes a value to compare with; `defined` takes none");
                    }
                    Ok(())
                }
                Some((name, None)) => {
                    let known = SELECTIONS.iter().map(|(known, _)| *known);
                    self.error(at, format!("unknown comparison {name:?}{}", suggestion(name, known)))
                }
                None => self.error(at, "the comparison is a constant text, such as '=='"),
            },
            Filter::Date => {
                let wrong = text(0).and_then(dates::unknown_specifier);
                match (wrong, text(1).map(dates::offset)) {
                    (Some(wrong), _) => {
                        self.error(at, format!("`date` does not know {wrong}; known: {}", dates::SPECIFIERS))
                    }
                    (None, Some(None)) => self.error(
                        at,
                        "the offset of `date` is written +01:00; names of time zones are not known",
                    ),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    pub(super) fn test(&mut self) -> Parsed<Test> {
        let at = self.token_at;
        let Token::Name(name) = std::mem::replace(&mut self.token, Token::End) else {
            return self.error(at, "expected the name of a test after `is`");
        };
        self.advance()?;
        Ok(match name.as_str() {
            "defined" => Test::Defined,
            "none" | "None" => Test::None,
            "string" => Test::String,
            "number" => Test::Number,
            "mapping" => Test::Mapping,
            "sequence" => Test::Sequence,
            "match" | "search" => return self.pattern(name == "match", at),
            _ => {
                let known = TESTS.iter().copied();
                return self.error(at, format!("unknown test `{name}`{}", suggestion(&name, known)));
            }
        })
    }

    fn pattern(&mut self, anchored: bool, at: usize) -> Parsed<Test> {
        let arguments = if self.is_sign("(") { self.arguments()? } else { Vec::new() };
        let [Expr::Constant(Constant::Text(text))] = arguments.as_slice() else {
            return self.error(at, "write the regular expression as a constant text: match('^v[0-9]')");
        };
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return self.error(at, format!("more than {PATTERNS_MAX} regular expressions"));
        }
        match patterns::compile(text, anchored) {
            Ok((pattern, cost)) => Ok(Test::Pattern { pattern, cost }),
            Err(message) => self.error(at, message),
        }
    }
}
