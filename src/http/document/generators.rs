//! What generators of clients and linters read wrongly, in forms that they read rightly.
//!
//! A description beside a reference (poem writes an `allOf` around both) makes some generators invent a second
//! model with the name of the first, and `nullable` counts only next to a `type`.

use serde_json::{Map, Value, json};

/// Rewrites the schemas of a document.
pub fn simplify(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let mut nullable = Vec::new();
    for schema in schemas.values_mut() {
        rewrite(schema, &mut nullable);
    }
    mark_nullable(schemas, &nullable);
}

/// Says of the schemas with these names that they may be null.
fn mark_nullable(schemas: &mut Map<String, Value>, names: &[String]) {
    for name in names {
        if let Some(schema) = schemas.get_mut(name) {
            schema["nullable"] = json!(true);
        }
    }
}

fn rewrite(value: &mut Value, nullable: &mut Vec<String>) {
    match value {
        Value::Object(schema) => {
            if let Some(reference) = only_reference(schema) {
                if schema.get("nullable") == Some(&json!(true)) {
                    nullable.extend(reference.rsplit('/').next().map(str::to_owned));
                }
                *value = json!({ "$ref": reference });
                return;
            }
            if schema.contains_key("oneOf") {
                // Null is a value of the first choice; a `type` beside the choices would exclude the others.
                schema.remove("type");
                if schema.remove("nullable").is_some() {
                    let first = &mut schema["oneOf"][0];
                    first["nullable"] = json!(true);
                    if let Some(Value::Array(words)) = first.get_mut("enum") {
                        words.push(Value::Null);
                    }
                }
            }
            for inner in schema.values_mut() {
                rewrite(inner, nullable);
            }
        }
        Value::Array(all) => {
            for inner in all {
                rewrite(inner, nullable);
            }
        }
        _ => {}
    }
}

/// The reference of an `allOf` that has nothing else in it but descriptions.
fn only_reference(schema: &Map<String, Value>) -> Option<String> {
    let all = schema.get("allOf")?.as_array()?;
    let is_description =
        |part: &Value| part.as_object().is_some_and(|p| p.keys().all(|k| k == "description"));
    let (first, rest) = all.split_first()?;
    rest.iter().all(is_description).then_some(())?;
    first.get("$ref")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_alone_and_null_has_a_type() {
        let mut document = json!({ "components": { "schemas": {
            "Try": { "type": "object" },
            "Target": { "type": "object", "properties": {
                "last": { "nullable": true, "description": "d", "allOf": [
                    { "$ref": "#/components/schemas/Try" }, { "description": "d" },
                ] },
                "first": { "allOf": [{ "$ref": "#/components/schemas/Try" }] },
                "status": { "nullable": true, "type": "string", "oneOf": [
                    { "type": "string", "enum": ["a"] }, { "type": "integer" },
                ] },
            } },
        } } });
        simplify(&mut document);
        let reference = json!({ "$ref": "#/components/schemas/Try" });
        assert_eq!(
            document["components"]["schemas"],
            json!({
                "Try": { "type": "object", "nullable": true },
                "Target": { "type": "object", "properties": {
                    "last": reference,
                    "first": reference,
                    "status": { "oneOf": [
                        { "type": "string", "enum": ["a", null], "nullable": true }, { "type": "integer" },
                    ] },
                } },
            })
        );
    }
}
