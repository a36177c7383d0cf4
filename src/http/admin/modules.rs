//! Which modules a page of the dashboard needs, so that a browser can ask for all of them at once.
//!
//! A module says what it imports only when it has arrived; four of them in a row are four waits. The page
//! names them up front instead, found by reading the import statements, so that no list has to be kept.
//! What comes with a click (`import(…)`) is not among them.

use std::collections::HashSet;

use crate::http::document::assets::Files;

/// What every page begins with.
const MAIN: &str = "main.js";

/// Pages that people come to from outside, and their modules (`assets/pages/index.js` has all of them).
const PAGES: [(&str, &str); 3] = [
    ("", "pages/overview.js"),
    ("webhook-deliveries", "pages/deliveries.js"),
    ("webhooks", "pages/webhooks.js"),
];

/// The module that shows this address below `/admin/`, if it is one of those that are worth it.
pub(super) fn of_page(path: &str) -> Option<&'static str> {
    PAGES.iter().find(|(address, _)| *address == path.trim_matches('/')).map(|(_, module)| *module)
}

/// Paths of everything that the dashboard and this page's module import, however far down, each after
/// what it imports.
pub(super) fn needed(files: &Files, page: Option<&str>) -> Vec<String> {
    let mut found = Found { files, seen: HashSet::new(), paths: Vec::new() };
    for root in [Some(MAIN), page].into_iter().flatten() {
        found.visit(root);
    }
    found.paths
}

struct Found<'a> {
    files: &'a Files,
    seen: HashSet<String>,
    paths: Vec<String>,
}

impl Found<'_> {
    fn visit(&mut self, path: &str) {
        let Some(text) = self.files.of_dashboard(path).and_then(|file| file.text()) else { return };
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        for specifier in imports(text) {
            self.visit(&resolved(path, specifier));
        }
        self.paths.push(path.to_owned());
    }
}

/// What a module's text imports or exports from, as it is written: `from "./x.js"`, minified or not.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    let after_from = text.split("from").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
    after_from.filter_map(|rest| rest.split('"').next()).filter(|s| s.starts_with('.') && s.ends_with(".js"))
}

/// `./` and `../` from where the module is.
fn resolved(from: &str, specifier: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::document::assets;

    #[test]
    fn imports_are_found_as_people_and_as_minifiers_write_them() {
        let text = "import { a } from \"./a.js\";\nexport {b} from \"../b.js\";import{c}from\"./v/c.js\";\n\
                    const d = () => import(\"./d.js\"); const e = \"from\"; // from here on\n";
        assert_eq!(imports(text).collect::<Vec<_>>(), ["./a.js", "../b.js", "./v/c.js"]);
        assert_eq!(resolved("pages/deliveries/parts.js", "../../components/menu.js"), "components/menu.js");
        assert_eq!(resolved("main.js", "./ui.js"), "ui.js");
    }

    #[test]
    fn what_a_module_imports_is_there_and_comes_before_it() {
        let files = assets::files();
        for (_, module) in PAGES {
            let needed = needed(&files, Some(module));
            let place = |path: &str| needed.iter().position(|p| p == path);
            assert!(place(MAIN).is_some() && place(module).is_some(), "{module}: {needed:?}");
            for (n, path) in needed.iter().enumerate() {
                let text = files.get(path).and_then(|file| file.text()).expect("it was read before");
                for specifier in imports(text) {
                    let imported = resolved(path, specifier);
                    assert!(place(&imported).is_some_and(|at| at < n), "{path} imports {imported}");
                }
            }
            assert!(!needed.iter().any(|p| p.ends_with("uplot.js")), "it comes by itself: {needed:?}");
        }
    }

    #[test]
    fn the_pages_are_those_that_the_dashboard_has() {
        let files = assets::files();
        let index = files.get("pages/index.js").and_then(|file| file.text()).expect("it is there");
        for (address, module) in PAGES {
            let begins = format!("path: \"{address}\",");
            let entry = index.split(&begins).nth(1).expect("the page has this address");
            let loads = format!("import(\"./{}\")", module.strip_prefix("pages/").expect("it is a page"));
            assert!(entry.split("path:").next().is_some_and(|e| e.contains(&loads)), "{address}: {loads}");
        }
        assert_eq!(of_page("/webhook-deliveries/"), Some("pages/deliveries.js"));
        assert_eq!((of_page("webhook-deliveries/1"), of_page("sign-in")), (None, None));
    }
}
