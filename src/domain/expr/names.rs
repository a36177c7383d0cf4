//! Which names a template may use, and what they stand for.

use super::json::Json;
use super::value::Value;

/// The names of one place; a template that uses another one is refused when it is saved.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    roots: &'a [&'a str],
    secrets: Option<&'a [String]>,
}

impl<'a> Names<'a> {
    /// Of the filter of an endpoint.
    pub const FILTER: Names<'static> =
        Names::of(&["payload", "payload_text", "event", "summary", "endpoint"]);
    /// Of the summary of a source, which is rendered when it is read.
    pub const SUMMARY: Names<'static> = Names::of(&["payload", "payload_text", "event"]);
    /// Of what a source does with a request.
    pub const SOURCE: Names<'static> =
        Names::of(&["payload", "payload_text", "event", "headers", "query", "path", "form", "client_ip"]);
    /// Of `expect`.
    pub const EXPECT: Names<'static> =
        Names::of(&["response", "payload", "payload_text", "event", "summary", "endpoint", "delivery"]);

    /// Any other set, without secrets.
    pub const fn of(roots: &'a [&'a str]) -> Names<'a> {
        Names { roots, secrets: None }
    }

    /// The same, and one more: the variable of `$each`.
    pub fn with<'b>(&self, roots: &'b [&'b str]) -> Names<'b>
    where
        'a: 'b,
    {
        Names { roots, secrets: self.secrets }
    }

    /// The top-level names.
    pub fn roots(&self) -> &'a [&'a str] {
        self.roots
    }

    /// Of a shaped request, with the names of the endpoint's secrets.
    pub fn request(secrets: &'a [String]) -> Names<'a> {
        const ROOTS: &[&str] =
            &["payload", "payload_text", "event", "summary", "endpoint", "delivery", "secrets"];
        Names { roots: ROOTS, secrets: Some(secrets) }
    }

    pub(super) fn has(&self, root: &str) -> bool {
        self.roots.contains(&root)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.roots.iter().copied()
    }

    /// The names of the secrets, if there may be any here.
    pub(super) fn secrets(&self) -> Option<&'a [String]> {
        self.secrets
    }
}

#[derive(Debug, Clone)]
enum Root<'a> {
    Own(Json<'a>),
    Lent(&'a Json<'a>),
    Value(Value<'a>),
}

/// What the names stand for. One that is not set is missing.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    roots: Vec<(&'a str, Root<'a>)>,
    secrets: &'a [(String, String)],
    around: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    pub fn new() -> Scope<'a> {
        Scope::default()
    }

    /// A scope that has everything of this one, and may have more.
    pub fn inside(&'a self) -> Scope<'a> {
        Scope { roots: Vec::new(), secrets: self.secrets, around: Some(self) }
    }

    pub fn set(&mut self, root: &'a str, value: Json<'a>) {
        self.put(root, Root::Own(value));
    }

    /// A value that others use too, such as the parsed payload.
    pub fn lend(&mut self, root: &'a str, value: &'a Json<'a>) {
        self.put(root, Root::Lent(value));
    }

    /// A value that an expression gave, such as an element of a list.
    pub fn bind(&mut self, root: &'a str, value: Value<'a>) {
        self.put(root, Root::Value(value));
    }

    fn put(&mut self, root: &'a str, value: Root<'a>) {
        self.roots.retain(|(name, _)| *name != root);
        self.roots.push((root, value));
    }

    pub fn secrets(&mut self, secrets: &'a [(String, String)]) {
        self.secrets = secrets;
    }

    pub(super) fn get(&'a self, root: &str) -> Value<'a> {
        match self.roots.iter().find(|(name, _)| *name == root) {
            Some((_, Root::Own(value))) => Value::of(value),
            Some((_, Root::Lent(value))) => Value::of(value),
            Some((_, Root::Value(value))) => value.clone(),
            None => self.around.map_or(Value::Missing, |around| around.get(root)),
        }
    }

    pub(super) fn secret(&self, name: &str) -> &'a str {
        self.secrets.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}
