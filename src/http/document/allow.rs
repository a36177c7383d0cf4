//! Which methods a path answers to, for the `Allow` header that every 405 carries (RFC 9110, section
//! 15.5.6). poem's router knows but does not tell, so it is read off the OpenAPI documents.

use std::sync::OnceLock;

use serde_json::Value;

/// What is answered to where no document says more: pages, files, health.
const PLAIN: &str = "GET, HEAD";

/// The paths of some documents, with their methods; read when a 405 first asks for them.
pub struct Allowed {
    documents: Box<dyn Fn() -> Vec<Value> + Send + Sync>,
    paths: OnceLock<Vec<(Vec<String>, String)>>,
}

impl Allowed {
    /// Takes what makes the documents.
    pub fn of(documents: impl Fn() -> Vec<Value> + Send + Sync + 'static) -> Allowed {
        Allowed { documents: Box::new(documents), paths: OnceLock::new() }
    }

    /// The value of `Allow` for a path.
    pub fn methods(&self, path: &str) -> &str {
        let asked = segments(path);
        let fits = |path: &[String]| {
            path.len() == asked.len() && path.iter().zip(&asked).all(|(p, a)| is_parameter(p) || p == a)
        };
        let paths = self.paths.get_or_init(|| read(&(self.documents)()));
        paths.iter().find(|(path, _)| fits(path)).map_or(PLAIN, |(_, methods)| methods)
    }
}

impl Default for Allowed {
    fn default() -> Allowed {
        Allowed::of(Vec::new)
    }
}

fn read(documents: &[Value]) -> Vec<(Vec<String>, String)> {
    let paths = documents.iter().filter_map(|d| d["paths"].as_object()).flatten();
    let mut entries: Vec<_> = paths.map(|(path, item)| (segments(path), methods(item))).collect();
    // Literal segments take precedence over parameters, as in the router.
    entries.sort_by_key(|(path, _)| path.iter().filter(|s| is_parameter(s)).count());
    entries
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{')
}

fn methods(item: &Value) -> String {
    let has = |method: &str| item.get(method.to_ascii_lowercase()).is_some();
    let all = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    let here = |m: &&str| has(m) || (*m == "HEAD" && has("GET"));
    all.into_iter().filter(here).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_most_literal_path_decides() {
        let document = json!({ "paths": {
            "/v1/things/{id}": { "get": {}, "patch": {}, "delete": {} },
            "/v1/things/all": { "get": {} },
            "/v1/things": { "post": {} },
        } });
        let allowed = Allowed::of(move || vec![document.clone()]);
        assert_eq!(allowed.methods("/v1/things/7"), "GET, HEAD, PATCH, DELETE");
        assert_eq!(allowed.methods("/v1/things/all"), "GET, HEAD");
        assert_eq!(allowed.methods("/v1/things"), "POST");
        assert_eq!(allowed.methods("/healthz"), "GET, HEAD");
    }
}
