//! The modules of the dashboard: what they import, and what a page names so that all of it is loaded at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::TestApp;
use crate::support::app::send;

type Imports = BTreeMap<String, Vec<String>>;

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
}

/// What a module's text imports or exports from, as it is written: `from "./x.js"`, minified or not.
fn specifiers(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
    let after = code.flat_map(|line| line.split("from").skip(1).collect::<Vec<_>>());
    after
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .filter(|s| s.starts_with('.') && s.ends_with(".js"))
}

/// `./` and `../` from where the module is.
fn resolved(from: &str, specifier: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Every module of the dashboard with what it imports.
fn imports() -> Imports {
    let root = assets();
    let mut found = Imports::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("assets can be read") {
            let path = entry.expect("assets can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "js") {
                let name =
                    path.strip_prefix(&root).expect("it is below").to_str().expect("a plain name").to_owned();
                let text = std::fs::read_to_string(&path).expect("it can be read");
                let imported = specifiers(&text).map(|s| resolved(&name, s)).collect();
                found.insert(name, imported);
            }
        }
    }
    found.retain(|name, _| !name.starts_with("docs/") && !name.starts_with("vendor/swagger-ui/"));
    found
}

/// The first circle that is found, as the modules along it.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    fn visit(name: &str, imports: &Imports, path: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        if let Some(begin) = path.iter().position(|on| on == name) {
            path.drain(..begin);
            return true;
        }
        if !done.contains(name) {
            path.push(name.to_owned());
            if imports.get(name).into_iter().flatten().any(|next| visit(next, imports, path, done)) {
                return true;
            }
            path.pop();
            done.insert(name.to_owned());
        }
        false
    }
    let (mut path, mut done) = (Vec::new(), BTreeSet::new());
    imports.keys().any(|name| visit(name, imports, &mut path, &mut done)).then_some(path)
}

/// What these modules need, however far down, each after what it imports.
fn needed(imports: &Imports, roots: &[&str]) -> Vec<String> {
    fn visit(name: &str, imports: &Imports, seen: &mut BTreeSet<String>, found: &mut Vec<String>) {
        if seen.insert(name.to_owned()) {
            for next in &imports[name] {
                visit(next, imports, seen, found);
            }
            found.push(name.to_owned());
        }
    }
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for root in roots {
        visit(root, imports, &mut seen, &mut found);
    }
    found
}

#[test]
fn modules_import_only_what_exists_and_no_circle() {
    let imports = imports();
    assert!(imports.len() > 60, "the modules were found: {}", imports.len());
    for (name, imported) in &imports {
        for one in imported {
            assert!(imports.contains_key(one), "{name} imports {one}, which is not there");
        }
    }
    assert_eq!(circle(&imports), None, "modules that import each other");
}

#[test]
fn parts_do_not_import_pages() {
    for (name, imported) in imports() {
        let is_part = name.starts_with("components/") || !name.contains('/');
        for one in imported.iter().filter(|one| is_part && one.starts_with("pages/")) {
            assert_eq!((name.as_str(), one.as_str()), ("main.js", "pages/index.js"), "{name} imports {one}");
        }
    }
}

#[test]
fn imports_are_found_as_people_and_as_minifiers_write_them() {
    let text = "import { a } from \"./a.js\";\nexport {b} from \"../b.js\";import{c}from\"./v/c.js\";\n\
                const d = () => import(\"./d.js\"); const e = \"from\"; // from here on\n// from \"./f.js\"\n";
    assert_eq!(specifiers(text).collect::<Vec<_>>(), ["./a.js", "../b.js", "./v/c.js"]);
    assert_eq!(resolved("pages/deliveries/parts.js", "../../components/menu.js"), "components/menu.js");
    assert_eq!(resolved("main.js", "./ui.js"), "ui.js");
}

/// The list is in `src/http/admin/modules.rs`; what it has to be is on the right.
#[tokio::test]
async fn a_page_names_exactly_the_modules_that_it_imports() {
    let app = TestApp::start().await;
    let imports = imports();
    let index = std::fs::read_to_string(assets().join("pages/index.js")).expect("it can be read");
    for (address, module) in [
        ("", Some("pages/overview.js")),
        ("webhook-deliveries", Some("pages/deliveries.js")),
        ("webhooks", Some("pages/webhooks.js")),
        ("sign-in", None),
    ] {
        let page = send(app.client.get(format!("{}/admin/{address}", app.base))).await;
        let links = page.text.lines().filter(|line| line.contains("modulepreload"));
        let named: Vec<&str> = links
            .map(|line| {
                let href = line.split("href=\"assets/").nth(1).expect("it links to a file");
                href.split_once('/').expect("below a hash").1.split('"').next().expect("it ends")
            })
            .collect();
        let roots: Vec<&str> = ["main.js"].into_iter().chain(module).collect();
        assert_eq!(named, needed(&imports, &roots), "/admin/{address}");
        if let Some(module) = module {
            let entry =
                index.split(&format!("path: \"{address}\",")).nth(1).expect("the page has this address");
            let loads = format!("import(\"./{}\")", module.strip_prefix("pages/").expect("it is a page"));
            assert!(entry.split("path:").next().is_some_and(|e| e.contains(&loads)), "{address}: {loads}");
        }
        assert!(
            !named.iter().any(|name| name.ends_with("uplot.js")),
            "it comes when there is something to draw"
        );
    }
}
