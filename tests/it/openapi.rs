//! The OpenAPI documents as client generators and linters read them: what `tests/openapi.sh` shows with real
//! generators, here as rules that need no network.

use std::collections::{BTreeMap, BTreeSet};

use postrider::http::{openapi_admin, openapi_v0, openapi_v1};
use serde_json::{Map, Value};

use crate::v1::docs::misfits;

fn documents() -> [(&'static str, Value); 3] {
    [("v1", openapi_v1("")), ("v0", openapi_v0("")), ("admin", openapi_admin(""))]
}

/// Every object of a document that can be a schema, with its place.
fn each<'a>(part: &'a Value, at: &str, seen: &mut Vec<(String, &'a Map<String, Value>)>) {
    match part {
        Value::Object(object) => {
            seen.push((at.to_owned(), object));
            for (name, value) in object {
                let at = format!("{at}/{name}");
                match value.as_object().filter(|_| name == "properties") {
                    Some(fields) => {
                        fields.iter().for_each(|(name, field)| each(field, &format!("{at}/{name}"), seen));
                    }
                    None if ["example", "examples", "default", "enum"].contains(&name.as_str()) => {}
                    None => each(value, &at, seen),
                }
            }
        }
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(i, value)| each(value, &format!("{at}/{i}"), seen));
        }
        _ => {}
    }
}

/// What is wrong by a rule, in all three documents.
fn wrong(rule: impl Fn(&Value, &Map<String, Value>) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, document) in documents() {
        let mut objects = Vec::new();
        each(&document, name, &mut objects);
        assert!(objects.len() > 100, "{name} was walked");
        for (at, object) in objects {
            wrong.extend(rule(&document, object).map(|what| format!("{at}: {what}")));
        }
    }
    wrong
}

#[test]
fn who_takes_query_parameters_may_answer_422() {
    let mut wrong = Vec::new();
    for (name, document) in documents() {
        let paths = document["paths"].as_object().unwrap();
        for (method, operation) in paths.values().flat_map(|path| path.as_object().unwrap()) {
            let mut parameters = operation["parameters"].as_array().into_iter().flatten();
            if parameters.any(|parameter| parameter["in"] == "query")
                && operation["responses"]["422"].is_null()
            {
                wrong.push(format!("{name}: {method} {}", operation["operationId"]));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn nullable_stands_next_to_a_type() {
    let wrong = wrong(|_, schema| {
        let words = schema.get("enum").and_then(Value::as_array);
        match (schema.get("nullable")?.as_bool()?, schema.get("type")) {
            (true, None) => Some("nullable without type".to_owned()),
            (true, _) if words.is_some_and(|words| !words.contains(&Value::Null)) => {
                Some("nullable, but null is not among the words".to_owned())
            }
            _ => None,
        }
    });
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn alternatives_have_types_of_their_own() {
    let wrong = wrong(|_, schema| {
        let alternatives = schema.contains_key("oneOf") || schema.contains_key("anyOf");
        (alternatives && schema.contains_key("type")).then(|| "a type next to alternatives".to_owned())
    });
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn a_described_reference_is_one_model() {
    let wrong = wrong(|_, schema| {
        let all = schema.get("allOf")?.as_array()?;
        let is_reference = all.len() == 1 && all[0]["$ref"].is_string() && !schema.contains_key("nullable");
        (!is_reference).then(|| format!("generators create a second model for {all:?}"))
    });
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn no_header_is_a_uuid() {
    let wrong = wrong(|_, parameter| {
        let is_header = parameter.get("in")? == "header" && parameter.contains_key("schema");
        (is_header && parameter["schema"]["format"] == "uuid").then(|| "not text in Python".to_owned())
    });
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn references_lead_somewhere_and_every_schema_is_used() {
    for (name, document) in documents() {
        let mut objects = Vec::new();
        each(&document, "", &mut objects);
        let references: BTreeSet<&str> =
            objects.iter().filter_map(|(_, object)| object.get("$ref")?.as_str()).collect();
        for reference in &references {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{name}: {reference}");
        }
        for schema in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(
                references.contains(format!("#/components/schemas/{schema}").as_str()),
                "{name}: {schema}"
            );
        }
    }
}

#[test]
fn examples_of_single_fields_fit() {
    let wrong = wrong(|document, schema| {
        let example = schema.get("example").filter(|_| schema.contains_key("type"))?;
        let misfits = misfits(document, &Value::Object(schema.clone()), example, "example");
        (!misfits.is_empty()).then(|| misfits.join(", "))
    });
    assert_eq!(wrong, [""; 0]);
}

/// `webhook_endpoint` or `List_Event` as the name of a type.
fn type_name(words: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    words.split(|c: char| !c.is_alphanumeric()).map(capital).collect()
}

/// The types that generators create for a schema: its own, and one for each inner object and enum, named after
/// the outer one and the property or its title.
fn type_names(name: &str, schema: &Value, at: &str, names: &mut BTreeMap<String, Vec<String>>) {
    if schema.get("$ref").is_some() {
        return;
    }
    if schema.get("enum").is_some() || schema.get("properties").is_some() {
        names.entry(name.to_lowercase()).or_default().push(at.to_owned());
    }
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        let title = property["title"].as_str().unwrap_or(field);
        type_names(&format!("{name}{}", type_name(title)), property, &format!("{at}/{field}"), names);
    }
    for (inner, suffix) in [("items", "Item"), ("additionalProperties", "AdditionalProperty")] {
        if schema[inner].is_object() {
            type_names(&format!("{name}{suffix}"), &schema[inner], &format!("{at}/{inner}"), names);
        }
    }
    for (i, alternative) in schema["oneOf"].as_array().into_iter().flatten().enumerate() {
        type_names(&format!("{name}Type{i}"), alternative, &format!("{at}/oneOf/{i}"), names);
    }
}

#[test]
fn no_two_generated_types_have_one_name() {
    for (name, document) in documents() {
        let mut names = BTreeMap::new();
        for (schema, content) in document["components"]["schemas"].as_object().unwrap() {
            type_names(&type_name(schema), content, schema, &mut names);
        }
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let parameter_name = type_name(parameter["name"].as_str().unwrap());
                    let at = format!("{method} {path} {parameter_name}");
                    type_names(&(type_name(id) + &parameter_name), &parameter["schema"], &at, &mut names);
                }
            }
        }
        assert!(names.len() > 5, "{name} has types");
        let twice: Vec<_> = names.into_iter().filter(|(_, places)| places.len() > 1).collect();
        assert!(twice.is_empty(), "{name}: {twice:?}");
    }
}
