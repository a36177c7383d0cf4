//! The last step of every OpenAPI document: what client generators and linters need beyond the standard.
//!
//! The documents stay OpenAPI 3.0: every generator reads it, and several read nothing newer. Only schemas
//! change here, never paths, fields or values.
//!
//! * `nullable` counts only next to a `type` (3.0.3), so a property that is a reference or null has a copy
//!   of the schema, and of several alternatives the first one may be null.
//! * poem writes a described reference as an `allOf` of the reference and the description. Generators then
//!   create a second model with the name of the first. One element, the reference, is read as the model.
//! * Generators name the type of a property after the schema and the property. `Event.type` would be
//!   `EventType`, which is a schema of its own; with a title it is `EventResourceType`.
//! * Generated Python puts a UUID into a header as an object, which its HTTP library refuses. A header is
//!   text with a pattern.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const UUID: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
const SCHEMAS: &str = "#/components/schemas/";

/// Adapts a complete document.
pub fn adapt(mut document: Value) -> Value {
    document["openapi"] = json!("3.0.3");
    let Some(schemas) = document["components"]["schemas"].as_object().cloned() else { return document };
    let mut copied = BTreeSet::new();
    for part in ["paths", "components"] {
        each_schema(&mut document[part], &mut |schema| {
            allow_null(schema, &schemas, &mut copied);
            keep_reference(schema);
            name_resource_type(schema);
            write_header_as_text(schema);
        });
    }
    remove_unused(&mut document, copied);
    document
}

/// Calls `change` with every object that may be a schema, the outer one first, so that copies are visited, too.
fn each_schema(part: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match part {
        Value::Object(object) => {
            change(object);
            for (name, value) in object.iter_mut().filter(|(name, _)| !is_data(name)) {
                // Fields of the API may have any name, also that of a keyword.
                match value.as_object_mut().filter(|_| name == "properties") {
                    Some(fields) => fields.values_mut().for_each(|field| each_schema(field, change)),
                    None => each_schema(value, change),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| each_schema(value, change)),
        _ => {}
    }
}

/// Members whose value is data of the API, not a part of the document.
fn is_data(name: &str) -> bool {
    matches!(name, "example" | "examples" | "default" | "enum")
}

fn allow_null(schema: &mut Map<String, Value>, schemas: &Map<String, Value>, copied: &mut BTreeSet<String>) {
    let may_be_null = schema.get("nullable") == Some(&json!(true));
    if let Some(first) = schema.get_mut("oneOf").and_then(|all| all.get_mut(0)) {
        if may_be_null {
            first["nullable"] = json!(true);
            let words = first.get_mut("enum").and_then(Value::as_array_mut);
            if let Some(words) = words.filter(|words| !words.contains(&Value::Null)) {
                words.push(Value::Null);
            }
        }
        // The alternatives have types of their own.
        schema.remove("type");
        schema.remove("nullable");
        return;
    }
    let Some(name) = referenced(schema).filter(|_| may_be_null) else { return };
    let Some(original) = schemas.get(&name).and_then(Value::as_object) else { return };
    schema.remove("allOf");
    for (member, value) in original.iter().filter(|(member, _)| *member != "title") {
        schema.entry(member.clone()).or_insert_with(|| value.clone());
    }
    copied.insert(name);
}

/// The name of the schema that an `allOf` refers to.
fn referenced(schema: &Map<String, Value>) -> Option<String> {
    let reference = schema.get("allOf")?.get(0)?.get("$ref")?.as_str()?;
    reference.strip_prefix(SCHEMAS).map(str::to_owned)
}

fn keep_reference(schema: &mut Map<String, Value>) {
    if referenced(schema).is_none() {
        return;
    }
    let Some(all) = schema.get_mut("allOf").and_then(Value::as_array_mut) else { return };
    let says_more =
        |part: &Value| part.as_object().is_some_and(|part| part.keys().any(|name| name != "description"));
    all.retain(says_more);
}

fn name_resource_type(schema: &mut Map<String, Value>) {
    let Some(kind) = schema.get_mut("properties").and_then(|properties| properties.get_mut("type")) else {
        return;
    };
    if kind["enum"].as_array().is_some_and(|words| words.len() == 1) {
        kind["title"] = json!("ResourceType");
    }
}

fn write_header_as_text(parameter: &mut Map<String, Value>) {
    if parameter.get("in") != Some(&json!("header")) {
        return;
    }
    let schema = parameter.get_mut("schema").and_then(Value::as_object_mut);
    if let Some(schema) = schema.filter(|schema| schema.get("format") == Some(&json!("uuid"))) {
        schema.remove("format");
        schema.insert("pattern".to_owned(), json!(UUID));
    }
}

/// Removes schemas that were only referred to where copies are now.
fn remove_unused(document: &mut Value, copied: BTreeSet<String>) {
    for name in copied {
        let reference = format!("\"{SCHEMAS}{name}\"");
        if !document.to_string().contains(&reference)
            && let Some(schemas) = document["components"]["schemas"].as_object_mut()
        {
            schemas.remove(&name);
        }
    }
}
