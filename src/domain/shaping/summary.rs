//! What an event means to a person: title, message, link and level.

use crate::domain::expr::{Budget, Json, Names, Scope, Template};
use crate::domain::values::invalid::{Complaints, FieldError, Invalid, escape_pointer};
use crate::domain::values::words::words;

/// Characters of a title.
pub const TITLE_MAX: usize = 300;
/// Characters of a message.
pub const MESSAGE_MAX: usize = 16_000;
/// Characters of a link.
pub const LINK_MAX: usize = 2_000;

words! {
    /// How much an event matters.
    #[derive(Default)]
    pub enum Level {
        #[default]
        Info = "info",
        Success = "success",
        Warning = "warning",
        Error = "error",
    }
}

/// A rendered summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// One line, never empty.
    pub title: String,
    pub message: String,
    pub link: Option<String>,
    pub level: Level,
}

impl Summary {
    /// As templates see it. Without a link `summary.link` is missing.
    pub fn to_json(&self) -> Json<'_> {
        let link = self.link.as_deref().map(|link| ("link", Json::text(link)));
        let rest = [
            ("title", Json::text(self.title.as_str())),
            ("message", Json::text(self.message.as_str())),
            ("level", Json::text(self.level.as_str())),
        ];
        Json::object(rest.into_iter().chain(link))
    }
}

/// The templates of a summary; without one there is a default.
#[derive(Debug, Default)]
pub struct SummaryTemplates {
    title: Option<Template>,
    message: Option<Template>,
    link: Option<Template>,
    level: Option<Template>,
}

/// The default message.
const OUTLINE: &str = "{{ payload|outline }}";

impl SummaryTemplates {
    /// Reads the attribute `summary` at a pointer.
    pub fn read(json: &Json<'_>, pointer: &str) -> Result<SummaryTemplates, Invalid> {
        let object = match json {
            Json::Null => return Ok(SummaryTemplates::default()),
            Json::Object(object) => object,
            _ => return Err(Invalid::one(pointer, "must be an object of templates, or null")),
        };
        let mut complaints = Complaints::default();
        let mut templates = SummaryTemplates::default();
        for (key, value) in object.iter() {
            let slot = match key {
                "title" => &mut templates.title,
                "message" => &mut templates.message,
                "link" => &mut templates.link,
                "level" => &mut templates.level,
                _ => {
                    let pointer = format!("{pointer}/{}", escape_pointer(key));
                    let message = "is not a known field. Known fields: title, message, link, level.";
                    complaints.push(FieldError::new(pointer, message));
                    continue;
                }
            };
            match value {
                Json::Null => {}
                Json::Text(text) => match Template::parse(text, &Names::SUMMARY) {
                    Ok(template) => *slot = Some(template),
                    Err(error) => complaints.push(FieldError::new(
                        format!("{pointer}/{key}"),
                        format!("is not a template: {error}"),
                    )),
                },
                _ => {
                    complaints.push(FieldError::new(format!("{pointer}/{key}"), "must be a string, or null"))
                }
            }
        }
        if complaints.is_empty() { Ok(templates) } else { Err(Invalid(complaints.into_vec())) }
    }

    /// The summary of an event. A template that needs more than it may is left out, as if it gave nothing.
    pub fn render(&self, scope: &Scope<'_>, event_type: &str, budget: &mut Budget) -> Summary {
        let mut rendered = |template: &Option<Template>| -> Option<String> {
            let text = template.as_ref()?.render(scope, budget).ok()?;
            Some(text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect())
        };
        let title = rendered(&self.title).map(|text| one_line(&text)).filter(|text| !text.is_empty());
        let link = rendered(&self.link).map(|text| text.trim().to_owned()).filter(|text| is_link(text));
        let level = rendered(&self.level).and_then(|text| Level::parse(text.trim())).unwrap_or_default();
        let message = match &self.message {
            Some(_) => rendered(&self.message),
            None => rendered(&Template::parse(OUTLINE, &Names::SUMMARY).ok()),
        };
        Summary {
            title: title.unwrap_or_else(|| one_line(event_type)),
            message: cut(message.as_deref().unwrap_or_default().trim(), MESSAGE_MAX),
            link,
            level,
        }
    }
}

/// On one line, to [`TITLE_MAX`] characters.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, TITLE_MAX)
}

/// To `most` characters, the ellipsis included.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

fn is_link(text: &str) -> bool {
    let scheme = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    (scheme.starts_with("http://") || scheme.starts_with("https://"))
        && text.chars().count() <= LINK_MAX
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && url::Url::parse(text).is_ok()
}
