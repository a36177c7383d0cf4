//! URLs with templates: in path and query only, every value percent-encoded, so an event never chooses the host or
//! leaves its place in the path.

use crate::domain::endpoint::{URL_MAX, parse_url};
use crate::domain::expr::{Names, Overrun, Piece, Run, Scope, Template};

/// A URL, compiled.
#[derive(Debug)]
pub(super) struct UrlTemplate {
    template: Template,
    /// Where path or query begin.
    path_at: usize,
}

/// Why a URL cannot be rendered.
pub(super) enum UrlFailure {
    Overrun(Overrun),
    Text(String),
}

/// Whether a text has templates.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Where path or query of a URL begin.
fn path_of(text: &str) -> usize {
    let host_at = text.find("://").map_or(0, |at| at + 3);
    text[host_at..].find(['/', '?', '#', '\\']).map_or(text.len(), |at| host_at + at)
}

/// Scheme, host and port of a URL, which never have templates.
pub fn origin_of(url: &str) -> &str {
    &url[..path_of(url)]
}

impl UrlTemplate {
    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// Checks what is fixed. The error is a sentence for the caller.
    pub(super) fn parse(text: &str, names: &Names<'_>) -> Result<UrlTemplate, String> {
        let path_at = path_of(text);
        let origin = &text[..path_at];
        if is_template(origin) || origin.contains("{#") {
            return Err(
                "may have templates in its path and query only; scheme, host and port are fixed".to_owned()
            );
        }
        parse_url(origin)?;
        let template =
            Template::parse(text, names).map_err(|e| format!("has an error in its template: {e}"))?;
        for literal in template.literals() {
            if literal.contains('#') {
                return Err("contains a fragment (#…), which is never sent; remove it".to_owned());
            }
            if literal.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err("contains white space or a control character; percent-encode it".to_owned());
            }
        }
        if !is_template(text) {
            parse_url(text)?;
        }
        Ok(UrlTemplate { template, path_at })
    }

    pub(super) fn source(&self) -> &str {
        self.template.source()
    }

    pub(super) fn uses(&self, root: &str) -> bool {
        self.template.uses(root)
    }

    /// The URL of an event, with what `query` adds, already encoded.
    pub(super) fn render<'a>(
        &'a self,
        query: &str,
        scope: &'a Scope<'a>,
        run: &mut Run<'_>,
    ) -> Result<String, UrlFailure> {
        let mut url = String::new();
        let mut values = Vec::new();
        self.template
            .render_pieces(scope, run, &mut |piece| match piece {
                Piece::Literal(text) | Piece::Secret(text) => url.push_str(text),
                Piece::Value(text) => {
                    let start = url.len();
                    encode(text, &mut url);
                    values.push((start, url.len()));
                }
            })
            .map_err(UrlFailure::Overrun)?;
        self.check_segments(&url, &values).map_err(UrlFailure::Text)?;
        if !query.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(query);
        }
        if url.chars().count() > URL_MAX {
            return Err(UrlFailure::Text(format!("is longer than {URL_MAX} characters")));
        }
        parse_url(&url).map_err(UrlFailure::Text)?;
        Ok(url)
    }

    /// A segment that a value is in is not empty and does not lead upwards.
    fn check_segments(&self, url: &str, values: &[(usize, usize)]) -> Result<(), String> {
        let path_end = url.find('?').unwrap_or(url.len());
        for (start, end) in values.iter().filter(|(start, _)| *start < path_end || !url.contains('?')) {
            let from = url[..*start].rfind('/').map_or(self.path_at, |at| at + 1).max(self.path_at);
            let to = url[*end..path_end.max(*end)].find('/').map_or(path_end.max(*end), |at| end + at);
            let segment = url[from..to].to_ascii_lowercase().replace("%2e", ".");
            match segment.as_str() {
                "" => {
                    return Err(
                        "a segment of the path is empty, because a value is missing or empty".to_owned()
                    );
                }
                "." | ".." => return Err(format!("a segment of the path is {segment:?}")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Appends a text as one path segment or one value of a query.
pub(super) fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte as char);
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)] as char, HEX[usize::from(byte & 15)] as char]);
        }
    }
}
