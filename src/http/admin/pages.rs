//! The dashboard's page and its files.
//!
//! One page serves every address below `/admin`; its scripts read the address and show what belongs
//! there. It is filled in with where things are: the base path, and the directory of the files, whose
//! name changes with their content, so that a browser may keep them forever and still never mixes two
//! versions. Addresses differ only in which modules are loaded ahead.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use poem::web::{Data, Path};
use poem::{Request, Response, handler};

use crate::http::document::assets;
use crate::http::document::assets::{FOR_EVER, File, INDEX, REVALIDATE};
use crate::http::problem::Problem;
use crate::http::state::State;

use super::modules;

/// The page.
#[handler]
pub(super) fn page(request: &Request, state: Data<&State>) -> Result<Response, Problem> {
    let path = request.uri().path();
    let shown = modules::page_at(path.strip_prefix("/admin").unwrap_or(path));
    let page = filled(&state.base_path, shown).ok_or_else(Problem::internal)?;
    Ok(page.answer(request, REVALIDATE))
}

/// A file of the page. Under another hash there is nothing: what asks for it is of another version, and
/// has to load itself again.
#[handler]
pub(super) fn file(
    request: &Request,
    Path((hash, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let files = assets::files();
    let found = files.of_dashboard(&path).filter(|_| hash == files.hash());
    let found =
        found.ok_or_else(|| Problem::not_found("There is no such file in this version.").uncached())?;
    Ok(found.answer(request, FOR_EVER))
}

/// The page with its places filled in; `shown` is the page of the address, when its modules are loaded ahead.
fn filled(base_path: &str, shown: Option<&'static str>) -> Option<Arc<File>> {
    #[derive(Default)]
    struct FilledPages {
        hash: String,
        base: String,
        pages: HashMap<Option<&'static str>, Arc<File>>,
    }
    static MADE: LazyLock<Mutex<FilledPages>> = LazyLock::new(Mutex::default);
    let files = assets::files();
    let mut made = MADE.lock().expect("no panic happens while this is held");
    if made.hash != files.hash() || made.base != base_path {
        *made = FilledPages {
            hash: files.hash().to_owned(),
            base: base_path.to_owned(),
            ..FilledPages::default()
        };
    }
    if let Some(filled) = made.pages.get(&shown) {
        return Some(filled.clone());
    }
    let links: Vec<String> = modules::of_page(shown)
        .map(|path| format!(r#"<link rel="modulepreload" href="{{{{assets}}}}/{path}">"#))
        .collect();
    let text = files.get(INDEX)?.text()?;
    let text = text
        .replace("{{modules}}", &links.join("\n    "))
        .replace("{{base}}", &escaped(base_path))
        .replace("{{assets}}", &format!("assets/{}", files.hash()));
    let filled = Arc::new(File::new("text/html; charset=utf-8", text));
    made.pages.insert(shown, filled.clone());
    Some(filled)
}

/// Text as it may stand in an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
