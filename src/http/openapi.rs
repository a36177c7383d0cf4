//! What the OpenAPI documents of all surfaces have in common: poem's own document is read, told what it is
//! about and where it is served, and each operation is handed to the surface, which knows the rest.

use serde_json::{Map, Value, json};

/// Reads poem's document and completes it. `base_path` is the path under which the server is reached from
/// outside, `prefix` the one of the surface below it; `complete` gets path, method and operation.
pub fn frame(
    poem_document: &str,
    description: &str,
    base_path: &str,
    prefix: &str,
    complete: impl Fn(&str, &str, &mut Value),
) -> Value {
    let mut document: Value = serde_json::from_str(poem_document).expect("poem writes valid JSON");
    document["info"]["description"] = json!(description);
    document["info"]["license"] = json!({ "name": "MIT" });
    document["servers"] = json!([{ "url": if base_path.is_empty() { "/" } else { base_path } }]);
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let mut completed = Map::new();
    for (path, mut methods) in paths {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            complete(&path, method, operation);
        }
        completed.insert(format!("{prefix}{path}"), methods);
    }
    document["paths"] = Value::Object(completed);
    document
}
