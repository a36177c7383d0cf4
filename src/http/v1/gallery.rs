//! `/v1/gallery`: recipes for senders and receivers.

use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use poem_openapi::types::Any;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;

use crate::domain::gallery::{self, Input, Limit, Preset, Side, Unit};
use crate::http::problem::Problem;
use crate::http::request::auth::ReadWebhooks;

use super::Tag;
use super::shapes::{One, one};

/// All recipes of a kind.
#[derive(Object)]
#[oai(rename = "Gallery")]
pub(super) struct GalleryList {
    data: Vec<PresetResource>,
}

/// A recipe of the gallery.
#[derive(Object)]
#[oai(rename = "Preset")]
pub(super) struct PresetResource {
    /// `preset`
    #[oai(rename = "type")]
    kind: String,
    /// Its name.
    id: String,
    attributes: PresetAttributes,
}

/// Attributes of a recipe.
#[derive(Object)]
#[oai(rename = "PresetAttributes")]
struct PresetAttributes {
    name: String,
    /// Grows with each change of the recipe.
    version: u32,
    title: String,
    /// What a person gives.
    inputs: Vec<InputObject>,
    /// Groups of inputs of which one must be given; empty = no such rule.
    one_of: Vec<Vec<String>>,
    /// What it expands to, with `{{ inputs.name }}` in it: the attributes of a source.
    #[oai(skip_serializing_if_is_none)]
    source: Option<Any<Value>>,
    /// What it expands to, with `{{ inputs.name }}` in it: the attributes of a webhook.
    #[oai(skip_serializing_if_is_none)]
    webhook: Option<Any<Value>>,
    /// Names of samples; `github/release` names one in previews.
    samples: Vec<String>,
    /// Limits of the other program.
    limits: Vec<LimitObject>,
    /// What to do in the other program.
    steps: Vec<String>,
}

/// Something that a person gives.
#[derive(Object)]
#[oai(rename = "PresetInput")]
struct InputObject {
    name: String,
    label: String,
    secret: bool,
    required: bool,
    example: String,
    help: String,
}

/// A limit of the other program.
#[derive(Object)]
#[oai(rename = "PresetLimit")]
struct LimitObject {
    /// A sentence.
    text: String,
    /// What is limited in the rendered body, as a JSON pointer.
    pointer: Option<String>,
    max: Option<u32>,
    /// `characters` or `bytes`.
    unit: Option<String>,
}

impl PresetResource {
    fn of(preset: &Preset, side: Side) -> PresetResource {
        let expands_to = || Any(Value::Object(preset.attributes.clone()));
        PresetResource {
            kind: "preset".to_owned(),
            id: preset.name.clone(),
            attributes: PresetAttributes {
                name: preset.name.clone(),
                version: preset.version,
                title: preset.title.clone(),
                inputs: preset.inputs.iter().map(InputObject::of).collect(),
                one_of: preset.one_of.clone(),
                source: (side == Side::Source).then(expands_to),
                webhook: (side == Side::Destination).then(expands_to),
                samples: preset.samples.iter().map(|name| (*name).to_owned()).collect(),
                limits: preset.limits.iter().map(LimitObject::of).collect(),
                steps: preset.steps.clone(),
            },
        }
    }
}

impl InputObject {
    fn of(input: &Input) -> InputObject {
        InputObject {
            name: input.name.clone(),
            label: input.label.clone(),
            secret: input.secret,
            required: input.required,
            example: input.example.clone(),
            help: input.help.clone(),
        }
    }
}

impl LimitObject {
    fn of(limit: &Limit) -> LimitObject {
        let unit = limit.unit.map(|unit| match unit {
            Unit::Characters => "characters".to_owned(),
            Unit::Bytes => "bytes".to_owned(),
        });
        LimitObject { text: limit.text.clone(), pointer: limit.pointer.clone(), max: limit.max, unit }
    }
}

/// The operations.
pub struct GalleryApi;

#[OpenApi(tag = "Tag::Gallery")]
impl GalleryApi {
    /// List recipes for senders
    ///
    /// What other programs need to post to a source: inputs, steps in their own words, and what the recipe expands to.
    #[oai(path = "/gallery/sources", method = "get", operation_id = "list_source_presets")]
    async fn sources(&self, _auth: ReadWebhooks) -> Answer<GalleryList> {
        Answer(list(Side::Source))
    }

    /// Get a recipe for a sender
    ///
    /// By its name.
    #[oai(path = "/gallery/sources/:name", method = "get", operation_id = "get_source_preset")]
    async fn source(
        &self,
        _auth: ReadWebhooks,
        name: Path<String>,
    ) -> Result<Answer<One<PresetResource>>, Problem> {
        find(Side::Source, &name)
    }

    /// List recipes for receivers
    ///
    /// Chat, push, smart home and others: inputs, limits, and what the recipe expands to.
    #[oai(path = "/gallery/destinations", method = "get", operation_id = "list_destination_presets")]
    async fn destinations(&self, _auth: ReadWebhooks) -> Answer<GalleryList> {
        Answer(list(Side::Destination))
    }

    /// Get a recipe for a receiver
    ///
    /// By its name.
    #[oai(path = "/gallery/destinations/:name", method = "get", operation_id = "get_destination_preset")]
    async fn destination(
        &self,
        _auth: ReadWebhooks,
        name: Path<String>,
    ) -> Result<Answer<One<PresetResource>>, Problem> {
        find(Side::Destination, &name)
    }
}

fn list(side: Side) -> GalleryList {
    GalleryList { data: gallery::all(side).iter().map(|preset| PresetResource::of(preset, side)).collect() }
}

fn find(side: Side, name: &str) -> Result<Answer<One<PresetResource>>, Problem> {
    match gallery::find(side, name) {
        Ok(preset) => Ok(one(PresetResource::of(preset, side))),
        Err(message) => Err(Problem::not_found(format!("{message}."))),
    }
}
