//! The files of `assets/`, inside the program: what the dashboard and `/docs` are made of.
//!
//! Each is sent with an `ETag` and, where that makes it smaller, compressed: gzip is made when the first
//! client asks for it and kept. In debug builds the files are read from the source tree instead and read
//! again when one has changed, so that trying a change needs no build.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use poem::http::{HeaderMap, StatusCode, header};
use poem::{Request, Response};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "assets"]
struct Embedded;

/// Answers that must be asked for again each time; the `ETag` makes that cheap.
pub const REVALIDATE: &str = "no-cache";
/// Answers whose address changes with their content.
pub const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Below this size, in bytes, compressing gains nothing.
const SMALL: usize = 512;

/// A file, or a text that is sent like one.
pub struct File {
    content_type: &'static str,
    data: Bytes,
    digest: String,
    /// `None` when it is not smaller.
    gzip: OnceLock<Option<Bytes>>,
}

impl File {
    /// Takes the bytes.
    pub fn new(content_type: &'static str, data: impl Into<Bytes>) -> File {
        let data = data.into();
        let digest: [u8; 32] = Sha256::digest(&data).into();
        File { content_type, data, digest: hex::encode(&digest[..16]), gzip: OnceLock::new() }
    }

    /// The bytes as text, when they are that.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.data).ok()
    }

    /// The answer to a GET: whole, compressed, or 304. `cache` is the value of `Cache-Control`.
    pub fn answer(&self, request: &Request, cache: &'static str) -> Response {
        let packed = if takes_gzip(request.headers()) { self.gzip() } else { None };
        let (plain_tag, packed_tag) = (format!("\"{}\"", self.digest), format!("\"{}-gz\"", self.digest));
        let known = is_known(request.headers(), &[&plain_tag, &packed_tag]);
        let response = Response::builder()
            .header(header::ETAG, if packed.is_some() { packed_tag } else { plain_tag })
            .header(header::CACHE_CONTROL, cache)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::VARY, "Accept-Encoding");
        match (known, packed) {
            (true, _) => response.status(StatusCode::NOT_MODIFIED).finish(),
            (false, Some(packed)) => response
                .content_type(self.content_type)
                .header(header::CONTENT_ENCODING, "gzip")
                .body(packed.clone()),
            (false, None) => response.content_type(self.content_type).body(self.data.clone()),
        }
    }

    fn gzip(&self) -> Option<&Bytes> {
        let compresses = !self.content_type.starts_with("image/p") && !self.content_type.starts_with("font/");
        let make = || {
            if !compresses || self.data.len() < SMALL {
                return None;
            }
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&self.data).ok()?;
            encoder.finish().ok().filter(|packed| packed.len() < self.data.len()).map(Bytes::from)
        };
        self.gzip.get_or_init(make).as_ref()
    }
}

/// All files at one moment.
pub struct Files {
    all: BTreeMap<String, File>,
    /// Changes with any file of the dashboard.
    hash: String,
}

impl Files {
    /// The file with this path below `assets/`.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.all.get(path)
    }

    /// A file of the dashboard that a page may load.
    pub fn of_dashboard(&self, path: &str) -> Option<&File> {
        self.get(path).filter(|_| is_of_dashboard(path) && path != INDEX)
    }

    /// A digest over the dashboard's files: part of the address of each of them.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    fn read() -> Files {
        let mut all = BTreeMap::new();
        // The recipes of the gallery are read by `domain::gallery` and served by `/v1/gallery`.
        for path in Embedded::iter().filter(|path| !path.starts_with("gallery/")) {
            let Some(found) = Embedded::get(&path) else { continue };
            let data = match found.data {
                std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
            };
            all.insert(path.to_string(), File::new(content_type(&path), data));
        }
        let mut digest = Sha256::new();
        for (path, file) in all.iter().filter(|(path, _)| is_of_dashboard(path)) {
            digest.update(format!("{path}\n{}\n", file.digest));
        }
        let digest: [u8; 32] = digest.finalize().into();
        Files { all, hash: hex::encode(&digest[..8]) }
    }
}

/// The page itself, which is filled in before it is sent.
pub const INDEX: &str = "index.html";

/// Whether a file belongs to the dashboard; the rest are those of `/docs`.
fn is_of_dashboard(path: &str) -> bool {
    !path.starts_with("docs/") && !path.starts_with("vendor/swagger-ui/")
}

/// The files as they are now.
#[cfg(not(debug_assertions))]
pub fn files() -> Arc<Files> {
    static FILES: OnceLock<Arc<Files>> = OnceLock::new();
    FILES.get_or_init(|| Arc::new(Files::read())).clone()
}

/// The files as they are now: read again when one of them has changed on disk.
#[cfg(debug_assertions)]
pub fn files() -> Arc<Files> {
    type Seen = Vec<(String, Option<std::time::SystemTime>, u64)>;
    static FILES: std::sync::Mutex<Option<(Seen, Arc<Files>)>> = std::sync::Mutex::new(None);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let seen: Seen = Embedded::iter()
        .filter_map(|path| {
            let metadata = std::fs::metadata(root.join(&*path)).ok()?;
            Some((path.to_string(), metadata.modified().ok(), metadata.len()))
        })
        .collect();
    let mut kept = FILES.lock().expect("no panic happens while this is held");
    match &*kept {
        Some((before, files)) if *before == seen => files.clone(),
        _ => {
            let files = Arc::new(Files::read());
            *kept = Some((seen, files.clone()));
            files
        }
    }
}

/// Whether the client has one of these already (weak comparison, RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, tags: &[&str]) -> bool {
    let sent = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    sent.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tags.contains(&tag.strip_prefix("W/").unwrap_or(tag)))
}

/// Whether the client reads gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let sent = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    sent.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused =
            parts.filter_map(|p| p.strip_prefix("q=")).any(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        is_gzip && !refused
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    fn asked(name: header::HeaderName, value: &str) -> Request {
        let mut request = Request::default();
        request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        request
    }

    #[test]
    fn a_client_that_has_the_file_hears_304_in_either_coding() {
        let file = File::new("text/css", "a{}".repeat(1_000));
        let plain = file.answer(&Request::default(), REVALIDATE);
        let packed = file.answer(&asked(header::ACCEPT_ENCODING, "br, gzip;q=0.5"), REVALIDATE);
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        assert!(plain.headers().get("content-encoding").is_none());
        let tags = [&plain, &packed].map(|r| r.headers()["etag"].to_str().unwrap().to_owned());
        assert_ne!(tags[0], tags[1], "two codings are two representations");
        for sent in [&tags[0], &tags[1], &format!("W/{}", tags[0]), &format!("\"x\", {}", tags[1]), "*"] {
            let again = file.answer(&asked(header::IF_NONE_MATCH, sent), REVALIDATE);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{sent}");
        }
        let other = file.answer(&asked(header::IF_NONE_MATCH, "\"x\""), REVALIDATE);
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it_and_where_it_helps() {
        for (value, takes) in
            [("gzip", true), ("GZIP", true), ("gzip;q=0", false), ("br", false), ("", false)]
        {
            assert_eq!(takes_gzip(asked(header::ACCEPT_ENCODING, value).headers()), takes, "{value}");
        }
        assert!(File::new("text/css", "a{}").gzip().is_none(), "too small");
        assert!(File::new("image/png", "a".repeat(9_999)).gzip().is_none(), "compressed already");
    }

    #[test]
    fn the_files_of_the_documentation_are_not_the_dashboards() {
        let files = files();
        assert!(files.of_dashboard("main.js").is_some() && files.get("docs/page.js").is_some());
        for path in ["docs/page.js", "vendor/swagger-ui/swagger-ui.css", INDEX, "", "../Cargo.toml"] {
            assert!(files.of_dashboard(path).is_none(), "{path}");
        }
    }
}
