//! `multipart/form-data` (RFC 7578), over a body that is in memory already. `multer` reads a stream, which needs
//! a runtime; the whole body was read before anyway, because signatures are over all of it.

use crate::domain::inbound::form;

/// The most parts.
pub(super) const PARTS_MAX: usize = 20;
/// The longest head of a part, in bytes.
pub(super) const HEAD_MAX: usize = 8 * 1_024;
/// The longest boundary, in bytes (RFC 2046, section 5.1.1).
const BOUNDARY_MAX: usize = 70;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) name: String,
    /// Whether it is a file: it has a file name.
    pub(super) filename: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: &'a [u8],
}

/// Why a body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// A sentence without its beginning: "the body …".
    Malformed(&'static str),
    TooManyParts,
    HeadTooLong,
}

/// The boundary that a content type names.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let boundary = parameter(content_type, "boundary")?;
    (1..=BOUNDARY_MAX).contains(&boundary.len()).then_some(boundary)
}

/// The parts of a body.
pub(super) fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, Broken> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut rest = after_preamble(body, &delimiter)
        .ok_or(Broken::Malformed("has no line with the boundary that Content-Type names"))?;
    loop {
        // What follows a boundary is `--` at the end, or a line break, perhaps after white space.
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let padding = rest.iter().take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
        rest = rest[padding..]
            .strip_prefix(b"\r\n")
            .ok_or(Broken::Malformed("has something behind a boundary that is no line break"))?;
        if parts.len() == PARTS_MAX {
            return Err(Broken::TooManyParts);
        }
        let (head, after_head) = split_head(rest)?;
        let end = find_delimiter(after_head, &delimiter)
            .ok_or(Broken::Malformed("ends before the boundary that closes it"))?;
        parts.push(part(head, &after_head[..end])?);
        rest = &after_head[end + 2 + delimiter.len()..];
    }
}

/// What follows the first boundary. Text before it is to be ignored.
fn after_preamble<'a>(body: &'a [u8], delimiter: &[u8]) -> Option<&'a [u8]> {
    if let Some(rest) = body.strip_prefix(delimiter) {
        return Some(rest);
    }
    let at = find_delimiter(body, delimiter)?;
    Some(&body[at + 2 + delimiter.len()..])
}

/// Where the line break before the next boundary is.
fn find_delimiter(body: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = body.get(from..)?.iter().position(|byte| *byte == b'\r') {
        let at = from + found;
        if body[at + 1..].strip_prefix(b"\n").is_some_and(|line| line.starts_with(delimiter)) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The lines of a part's head, and what follows the empty line behind them.
fn split_head(part: &[u8]) -> Result<(&[u8], &[u8]), Broken> {
    if let Some(body) = part.strip_prefix(b"\r\n") {
        return Ok((&[], body));
    }
    let window = &part[..part.len().min(HEAD_MAX + 4)];
    match window.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(end) => Ok((&part[..end], &part[end + 4..])),
        None if part.len() > HEAD_MAX => Err(Broken::HeadTooLong),
        None => Err(Broken::Malformed("ends within the head of a part")),
    }
}

fn part<'a>(head: &[u8], body: &'a [u8]) -> Result<Part<'a>, Broken> {
    let head = String::from_utf8_lossy(head);
    let value = |wanted: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines
            .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_owned())
    };
    let disposition = value("content-disposition").unwrap_or_default();
    let name = parameter(&disposition, "name").ok_or(Broken::Malformed("has a part without a name"))?;
    let filename = parameter(&disposition, "filename*")
        .and_then(|text| extended(&text))
        .or_else(|| parameter(&disposition, "filename"));
    Ok(Part { name, filename, content_type: value("content-type"), body })
}

/// The value of a parameter behind a `;`, with its quotes and their escapes removed.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value;
    loop {
        rest = rest.split_once(';')?.1;
        let (name, after) = rest.split_once('=')?;
        let (text, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        // A parameter without a value may stand before it.
        let name = name.rsplit(';').next().unwrap_or(name);
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = after;
    }
}

/// A quoted text to its closing quote, and what follows. Only `\"` and `\\` are escapes: older browsers send
/// paths of Windows as they are.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            ('"', _) => return (text, &quoted[at + 1..]),
            ('\\', Some((_, next @ ('"' | '\\')))) => {
                text.push(*next);
                chars.next();
            }
            _ => text.push(c),
        }
    }
    (text, "")
}

/// `UTF-8''na%C3%AFve.txt` (RFC 5987).
fn extended(text: &str) -> Option<String> {
    let (charset, rest) = text.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    let decoded = form::decode(encoded.replace('+', "%2B").as_bytes());
    charset.eq_ignore_ascii_case("utf-8").then(|| String::from_utf8(decoded).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(body: &str) -> Result<Vec<(String, String)>, Broken> {
        let text = |part: Part<'_>| (part.name, String::from_utf8_lossy(part.body).into_owned());
        parts(body.as_bytes(), "B").map(|parts| parts.into_iter().map(text).collect())
    }

    #[test]
    fn the_request_of_plex_is_read() {
        let body = "--B\r\nContent-Disposition: form-data; name=\"payload\"\r\nContent-Type: application/json\r\n\r\n\
                    {\"event\":\"media.play\"}\r\n--B\r\nContent-Disposition: form-data; name=\"thumb\"; \
                    filename=\"thumb.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\u{0}\r\n-x\r\n--B--\r\n";
        let found = parts(body.as_bytes(), "B").unwrap();
        assert_eq!(
            (found[0].name.as_str(), found[0].body),
            ("payload", br#"{"event":"media.play"}"#.as_slice())
        );
        let thumb = Part {
            name: "thumb".to_owned(),
            filename: Some("thumb.jpg".to_owned()),
            content_type: Some("image/jpeg".to_owned()),
            body: b"\0\r\n-x",
        };
        assert_eq!(found[1], thumb);
    }

    #[test]
    fn a_preamble_padding_and_missing_heads_are_ordinary() {
        let head = "content-disposition: form-data; name=a\r\n\r\n";
        let one = |value: &str| Ok(vec![("a".to_owned(), value.to_owned())]);
        assert_eq!(names(&format!("--B\r\n{head}1\r\n--B--")), one("1"));
        assert_eq!(names(&format!("hello\r\n--B \t\r\n{head}\r\n--B--end")), one(""));
        assert_eq!(names(&format!("--B\r\n{head}\r\r\n--B--")), one("\r"));
        assert_eq!(names("--B--"), Ok(vec![]));
        assert_eq!(names("--B\r\n\r\nx\r\n--B--"), Err(Broken::Malformed("has a part without a name")));
    }

    #[test]
    fn what_is_cut_or_too_much_is_refused() {
        let part = "\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--B";
        let many = |n: usize| format!("--B{}--", part.repeat(n));
        assert_eq!(names(&many(PARTS_MAX)).unwrap().len(), PARTS_MAX);
        assert_eq!(names(&many(PARTS_MAX + 1)), Err(Broken::TooManyParts));
        for cut in ["", "--C--", "--B", "--B\n", "--B\r\n", "--Bx\r\n", "--B\r\na: b", "--B\r\na: b\r\n\r\nc"]
        {
            assert!(matches!(names(cut), Err(Broken::Malformed(_))), "{cut:?}");
        }
        let head = |length: usize| format!("--B\r\n{:width$}\r\n\r\n1\r\n--B--", "a:", width = length);
        assert!(matches!(names(&head(HEAD_MAX)), Err(Broken::Malformed("has a part without a name"))));
        assert_eq!(names(&head(HEAD_MAX + 1)), Err(Broken::HeadTooLong));
    }

    #[test]
    fn parameters_may_be_quoted_escaped_and_extended() {
        let value =
            r#"form-data; flag; Name="a\"b;c=d\\e"; filename="C:\x.txt"; filename*=UTF-8''na%C3%AFve+1.txt"#;
        assert_eq!(parameter(value, "name").as_deref(), Some("a\"b;c=d\\e"));
        assert_eq!(parameter(value, "filename").as_deref(), Some("C:\\x.txt"));
        assert_eq!(extended(&parameter(value, "filename*").unwrap()).as_deref(), Some("na\u{ef}ve+1.txt"));
        assert_eq!(parameter("form-data; name", "name"), None);
        assert_eq!(boundary("multipart/form-data; boundary=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(boundary("multipart/form-data"), None);
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fields in prop::collection::vec(("[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..60)), 0..PARTS_MAX)
        ) {
            let mut body = b"--the-boundary".to_vec();
            for (name, value) in &fields {
                let head = format!("\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
                body.extend_from_slice(head.as_bytes());
                body.extend_from_slice(value);
                body.extend_from_slice(b"\r\n--the-boundary");
            }
            body.extend_from_slice(b"--\r\n");
            let read = parts(&body, "the-boundary").unwrap();
            let read: Vec<_> = read.into_iter().map(|part| (part.name, part.body.to_vec())).collect();
            prop_assert_eq!(read, fields);
        }

        #[test]
        fn any_bytes_end_without_a_panic(body in "(--B|\r\n|name=|content-disposition: form-data;|[\"a:-]){0,40}") {
            let _ = parts(body.as_bytes(), "B");
        }
    }
}
