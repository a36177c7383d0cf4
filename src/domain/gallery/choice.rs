//! The attribute `preset` of a request: the name of a recipe, and what a person gives for it.

use serde_json::{Map, Value};

use crate::domain::Invalid;
use crate::domain::gallery::{Preset, Side, find};
use crate::domain::values::invalid::escape_pointer;

/// A recipe with what it comes to.
#[derive(Debug, Clone)]
pub struct Choice {
    pub preset: &'static Preset,
    /// The attributes that it sets.
    pub attributes: Map<String, Value>,
}

/// Whether a recipe is named without inputs, as reads show it.
pub fn is_mark(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| !fields.contains_key("inputs"))
}

/// Reads the attribute and expands the recipe.
pub fn read(side: Side, value: &Value) -> Result<Choice, Invalid> {
    let example = match side {
        Side::Source => "{\"name\":\"github\",\"inputs\":{\"secret\":\"…\"}}",
        Side::Destination => "{\"name\":\"discord\",\"inputs\":{\"webhook_url\":\"…\"}}",
    };
    let fields = value
        .as_object()
        .ok_or_else(|| Invalid::one("/preset", format!("must be an object, such as {example}")))?;
    if let Some(unknown) = fields.keys().find(|name| !["name", "inputs"].contains(&name.as_str())) {
        let pointer = format!("/preset/{}", escape_pointer(unknown));
        return Err(Invalid::one(pointer, "is not known; there are name, inputs"));
    }
    let name = fields.get("name").and_then(Value::as_str);
    let name = name.ok_or_else(|| Invalid::one("/preset/name", "must be the name of a preset"))?;
    let preset = find(side, name).map_err(|message| Invalid::one("/preset/name", message))?;
    let none = Map::new();
    let inputs = match fields.get("inputs") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(inputs)) => inputs,
        Some(_) => return Err(Invalid::one("/preset/inputs", "must be an object")),
    };
    Ok(Choice { preset, attributes: preset.expand(inputs)? })
}

impl Preset {
    /// Where an error at an attribute that the recipe has set belongs: at the input that stands there.
    pub fn pointer_of(&self, pointer: &str) -> Option<String> {
        let (_, path) = pointer.split_once('/')?;
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let attribute = self.attributes.get(first)?;
        let value = match rest {
            Some(rest) => attribute.pointer(&format!("/{rest}"))?,
            None => attribute,
        };
        let (_, named) = value.as_str()?.split_once("{{ inputs.")?;
        let name = named.split([' ', '.']).next()?;
        Some(format!("/preset/inputs/{name}"))
    }
}
