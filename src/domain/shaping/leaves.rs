//! JSON bodies: JSON with templates in its strings, and `$each` in place of a list.

use crate::domain::expr::{
    Expression, Json, Names, Overrun, Run, Scope, Template, Value, text_bound, write_text,
};
use crate::domain::values::invalid::{Complaints, FieldError, escape_pointer};

use super::address::is_template;

/// Elements that `$each` gives at most.
const EACH_MAX: usize = 25;
/// `$each` within `$each`.
const EACH_LEVELS: usize = 3;

/// A part of a body, compiled.
#[derive(Debug)]
pub(super) enum Leaf {
    /// JSON as it is sent.
    Fixed(String),
    Template(Template),
    List(Vec<Leaf>),
    /// Keys as JSON strings.
    Object(Vec<(String, Leaf)>),
    Each {
        list: Expression,
        name: String,
        most: usize,
        element: Box<Leaf>,
    },
}

/// Compiles a body and collects what is wrong with it.
pub(super) struct Reader<'c> {
    pub(super) complaints: &'c mut Complaints,
    levels: usize,
}

impl<'c> Reader<'c> {
    pub(super) fn new(complaints: &'c mut Complaints) -> Reader<'c> {
        Reader { complaints, levels: 0 }
    }

    fn fail(&mut self, pointer: &str, message: impl Into<String>) -> Leaf {
        self.complaints.push(FieldError::new(pointer, message));
        Leaf::Fixed("null".to_owned())
    }

    pub(super) fn leaf(&mut self, json: &Json<'_>, pointer: &str, names: &Names<'_>) -> Leaf {
        match json {
            Json::Text(text) if is_template(text) => match Template::parse(text, names) {
                Ok(template) => Leaf::Template(template),
                Err(error) => self.fail(pointer, format!("is not a template: {error}")),
            },
            Json::List(list) => {
                let leaf =
                    |(i, value): (usize, &Json<'_>)| self.leaf(value, &format!("{pointer}/{i}"), names);
                Leaf::List(list.iter().enumerate().map(leaf).collect())
            }
            Json::Object(object) if object.get("$each").is_some() => self.each(json, pointer, names),
            Json::Object(object) => {
                let mut entries = Vec::with_capacity(object.len());
                for (key, value) in object.iter() {
                    let mut name = String::new();
                    write_text(key, &mut name);
                    let pointer = format!("{pointer}/{}", escape_pointer(key));
                    entries.push((name, self.leaf(value, &pointer, names)));
                }
                Leaf::Object(entries)
            }
            fixed => Leaf::Fixed(fixed.to_text()),
        }
    }

    fn each(&mut self, json: &Json<'_>, pointer: &str, names: &Names<'_>) -> Leaf {
        let Json::Object(object) = json else { return Leaf::Fixed("null".to_owned()) };
        for (key, _) in object.iter() {
            if !matches!(key, "$each" | "$as" | "$max" | "$do") {
                let pointer = format!("{pointer}/{}", escape_pointer(key));
                self.fail(&pointer, "is not possible beside $each; known: $each, $as, $max, $do");
            }
        }
        if self.levels >= EACH_LEVELS {
            return self.fail(pointer, format!("has $each nested more than {EACH_LEVELS} levels deep"));
        }
        let list = match object.get("$each") {
            Some(Json::Text(text)) => {
                Expression::parse(text, names).map_err(|e| format!("is not an expression: {e}"))
            }
            _ => Err("must be an expression, such as \"payload.alerts\"".to_owned()),
        };
        let name = match object.get("$as") {
            None | Some(Json::Null) => Ok("item".to_owned()),
            Some(Json::Text(text)) if is_variable(text) => Ok(text.to_string()),
            Some(_) => Err("must be a name of letters, digits and _".to_owned()),
        };
        let most = match object.get("$max") {
            None | Some(Json::Null) => Ok(EACH_MAX),
            Some(Json::Number(number)) => number
                .parse()
                .ok()
                .filter(|most| (1..=EACH_MAX).contains(most))
                .ok_or(format!("must be a whole number from 1 to {EACH_MAX}")),
            Some(_) => Err(format!("must be a whole number from 1 to {EACH_MAX}")),
        };
        let (list, name, most) = match (list, name, most) {
            (Ok(list), Ok(name), Ok(most)) => (list, name, most),
            (list, name, most) => {
                let wrong = [("$each", list.err()), ("$as", name.err()), ("$max", most.err())];
                for (key, message) in wrong {
                    if let Some(message) = message {
                        self.fail(&format!("{pointer}/{key}"), message);
                    }
                }
                return Leaf::Fixed("null".to_owned());
            }
        };
        let Some(element) = object.get("$do") else {
            return self.fail(&format!("{pointer}/$do"), "is missing; it is what each element becomes");
        };
        let mut roots = names.roots().to_vec();
        roots.push(&name);
        self.levels += 1;
        let element = self.leaf(element, &format!("{pointer}/$do"), &names.with(&roots));
        self.levels -= 1;
        Leaf::Each { list, name, most, element: Box::new(element) }
    }
}

fn is_variable(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let reserved = ["secrets", "true", "false", "none", "and", "or", "not", "in", "is", "if", "else"];
    first
        && text.len() <= 40
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !reserved.contains(&text)
}

impl Leaf {
    /// Whether a template in here uses a top-level name.
    pub(super) fn uses(&self, root: &str) -> bool {
        match self {
            Leaf::Fixed(_) => false,
            Leaf::Template(template) => template.uses(root),
            Leaf::List(list) => list.iter().any(|leaf| leaf.uses(root)),
            Leaf::Object(entries) => entries.iter().any(|(_, leaf)| leaf.uses(root)),
            Leaf::Each { list, element, .. } => list.uses(root) || element.uses(root),
        }
    }

    /// All templates in here.
    pub(super) fn templates(&self) -> Vec<&Template> {
        match self {
            Leaf::Fixed(_) => Vec::new(),
            Leaf::Template(template) => vec![template],
            Leaf::List(list) => list.iter().flat_map(Leaf::templates).collect(),
            Leaf::Object(entries) => entries.iter().flat_map(|(_, leaf)| leaf.templates()).collect(),
            Leaf::Each { element, .. } => element.templates(),
        }
    }

    /// Appends this; false if its value is missing, so that its key or element is left out.
    pub(super) fn write<'a>(
        &'a self,
        scope: &'a Scope<'a>,
        run: &mut Run<'_>,
        out: &mut String,
    ) -> Result<bool, Overrun> {
        match self {
            Leaf::Fixed(text) => {
                run.budget().output(text.len())?;
                out.push_str(text);
            }
            Leaf::Template(template) => return write_template(template, scope, run, out),
            Leaf::List(list) => {
                let start = open(out, '[');
                for leaf in list {
                    separated(out, start, |out| leaf.write(scope, run, out))?;
                }
                out.push(']');
            }
            Leaf::Object(entries) => {
                let start = open(out, '{');
                for (key, leaf) in entries {
                    run.budget().output(key.len() + 2)?;
                    separated(out, start, |out| {
                        out.push_str(key);
                        out.push(':');
                        leaf.write(scope, run, out)
                    })?;
                }
                out.push('}');
            }
            Leaf::Each { list, name, most, element } => {
                let start = open(out, '[');
                if let Value::List(items) = list.evaluate(scope, run)? {
                    for index in 0..items.len().min(*most) {
                        let mut inner = scope.inside();
                        inner.bind(name, items.at(index));
                        separated(out, start, |out| element.write(&inner, run, out))?;
                    }
                }
                out.push(']');
            }
        }
        Ok(true)
    }
}

fn write_template<'a>(
    template: &'a Template,
    scope: &'a Scope<'a>,
    run: &mut Run<'_>,
    out: &mut String,
) -> Result<bool, Overrun> {
    if let Some(value) = template.sole_value(scope, run) {
        let value = value?;
        if value.is_missing() {
            return Ok(false);
        }
        value.output_json(run.budget(), out)?;
        return Ok(true);
    }
    let text = template.render_as(scope, run)?;
    // Its characters are charged; quotes and escapes are not yet.
    run.budget().output(text_bound(&text) - text.len())?;
    write_text(&text, out);
    Ok(true)
}

/// Opens a list or an object and says where its inside begins.
fn open(out: &mut String, bracket: char) -> usize {
    out.push(bracket);
    out.len()
}

/// Appends one more entry with its comma, or nothing if it is left out.
fn separated(
    out: &mut String,
    start: usize,
    write: impl FnOnce(&mut String) -> Result<bool, Overrun>,
) -> Result<(), Overrun> {
    let before = out.len();
    if before > start {
        out.push(',');
    }
    if !write(out)? {
        out.truncate(before);
    }
    Ok(())
}
