//! How parts of sources and of the inbound log stand in columns.

use crate::domain::inbound::source::Mapping;
use crate::domain::values::preset_mark::PresetMark;
use crate::store::BodyContent;
use crate::store::shared::fault::Fault;

/// Reads the settings of a source.
pub(crate) fn read_mapping(text: &str) -> Result<Mapping, Fault> {
    serde_json::from_str(text).map_err(|e| Fault(format!("the kept settings of a source: {e}")))
}

/// Reads the recipe that a source was made with.
pub(crate) fn read_preset(text: &str) -> Result<PresetMark, Fault> {
    serde_json::from_str(text).map_err(|e| Fault(format!("the kept preset of a source: {e}")))
}

/// Either of them as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| Fault(format!("settings of a source as JSON: {e}")))
}

/// What the column `content` says about a body; `None` = as it came.
pub(crate) fn content_word(content: BodyContent) -> Option<&'static str> {
    match content {
        BodyContent::Whole => None,
        BodyContent::Payload => Some("payload"),
        BodyContent::Cut => Some("cut"),
    }
}

/// The reverse of [`content_word`].
pub(crate) fn read_content(word: Option<&str>) -> Result<BodyContent, Fault> {
    match word {
        None => Ok(BodyContent::Whole),
        Some("payload") => Ok(BodyContent::Payload),
        Some("cut") => Ok(BodyContent::Cut),
        Some(other) => Err(Fault(format!("{other:?} in the database is no kind of body"))),
    }
}
