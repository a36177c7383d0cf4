//! The gallery: recipes for senders and receivers that many people have.
//!
//! A recipe is a macro, not a reference. Choosing one writes plain attributes into a source or an endpoint, so a new
//! version of Postrider never changes what an existing one does, and everything that a recipe does can be done by
//! hand. Recipes are JSON files, in `recipes`; [`expand`] fills in what a person gives, [`choice`] reads it
//! from a request.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::inbound::request::InboundRequest;
use crate::domain::values::invalid::quoted;
use crate::domain::values::nearest;

pub mod choice;
pub mod expand;
mod files;
mod limits;

/// What a recipe makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Source,
    Destination,
}

/// A recipe.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    pub name: String,
    /// Grows with each change of the recipe.
    pub version: u32,
    pub title: String,
    pub inputs: Vec<Input>,
    /// Groups of inputs; one of them must be given as a whole. Empty: no such rule.
    #[serde(default)]
    pub one_of: Vec<Vec<String>>,
    /// The attributes that it sets, with `{{ inputs.name }}` in them.
    #[serde(alias = "source", alias = "webhook")]
    pub attributes: Map<String, Value>,
    pub limits: Vec<Limit>,
    /// What to do in the other program, in its own words.
    pub steps: Vec<String>,
    /// The names of the samples of a source.
    #[serde(skip)]
    pub samples: Vec<&'static str>,
}

/// Something that a person gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub name: String,
    pub label: String,
    pub secret: bool,
    pub required: bool,
    pub example: String,
    pub help: String,
    #[serde(default)]
    pub kind: InputKind,
    /// How the path of a [`InputKind::WebhookUrl`] begins.
    #[serde(default)]
    pub prefix: String,
}

/// What the text of an input is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    #[default]
    Text,
    /// Scheme, host, and perhaps a port and the beginning of a path.
    Origin,
    /// A whole URL, which is no secret.
    Url,
    /// A URL whose end is a secret: `{{ inputs.name.base }}` and `{{ inputs.name.rest }}`.
    WebhookUrl,
}

/// A limit of the other program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// A sentence.
    pub text: String,
    /// What is limited in the rendered body, as a JSON pointer; the empty one is the whole body.
    #[serde(default)]
    pub pointer: Option<String>,
    #[serde(default)]
    pub max: Option<u32>,
    #[serde(default)]
    pub unit: Option<Unit>,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Characters,
    Bytes,
}

/// A request as a sender makes it, and what it becomes.
#[derive(Debug, Clone)]
pub struct Sample {
    pub title: String,
    pub request: InboundRequest,
    pub expected: Expected,
}

/// What a sample becomes with the settings of its recipe.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub event_type: String,
    #[serde(default)]
    pub dedupe: Option<String>,
    #[serde(default)]
    pub resource_id: Option<String>,
    /// `title`, `message`, `link`, `level`.
    pub summary: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleFile {
    title: String,
    request: RequestFile,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    method: String,
    headers: Map<String, Value>,
    /// The body as text, or …
    #[serde(default)]
    body: Option<String>,
    /// … as JSON.
    #[serde(default)]
    json: Option<Box<RawValue>>,
}

/// All recipes and samples, read once. The files are part of the program: a test reads each of them.
struct Gallery {
    sources: Vec<Preset>,
    destinations: Vec<Preset>,
    samples: HashMap<&'static str, Sample>,
}

static GALLERY: LazyLock<Gallery> = LazyLock::new(|| Gallery {
    sources: presets(files::SOURCES),
    destinations: presets(files::DESTINATIONS),
    samples: files::SAMPLES.iter().map(|(name, text)| (*name, sample_of(name, text))).collect(),
});

fn presets(files: &[(&'static str, &'static str)]) -> Vec<Preset> {
    let read = |(name, text): &(&str, &str)| {
        let preset: Preset = serde_json::from_str(text).unwrap_or_else(|e| panic!("the recipe {name}: {e}"));
        let prefix = format!("{name}/");
        let samples = files::SAMPLES.iter().filter_map(|(sample, _)| sample.strip_prefix(&prefix)).collect();
        Preset { samples, ..preset }
    };
    files.iter().map(read).collect()
}

fn sample_of(name: &str, text: &str) -> Sample {
    let file: SampleFile = serde_json::from_str(text).unwrap_or_else(|e| panic!("the sample {name}: {e}"));
    let RequestFile { method, headers, body, json } = file.request;
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    let body = body.or_else(|| json.map(|json| json.get().to_owned())).unwrap_or_default();
    let request =
        InboundRequest { method, headers: headers.collect(), body: body.into(), ..InboundRequest::default() };
    Sample { title: file.title, request, expected: file.expected }
}

/// All recipes of a side, by name.
pub fn all(side: Side) -> &'static [Preset] {
    match side {
        Side::Source => &GALLERY.sources,
        Side::Destination => &GALLERY.destinations,
    }
}

/// A recipe. The error is a sentence, with the nearest name.
pub fn find(side: Side, name: &str) -> Result<&'static Preset, String> {
    let found = all(side).iter().find(|preset| preset.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = all(side).iter().map(|preset| preset.name.as_str()).collect();
        format!("{} {}", quoted(name), nearest::unknown("preset", name, &names))
    })
}

/// A sample, as `source/sample`: `github/release`.
pub fn sample(name: &str) -> Option<&'static Sample> {
    GALLERY.samples.get(name)
}

#[cfg(test)]
mod tests;
