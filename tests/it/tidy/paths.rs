//! Reads what each file of `src` names of the crate: `use` trees, paths in the code, and re-exports.
//!
//! It reads text, not syntax trees, so it knows rustfmt's layout and no macros. Comments and inline test modules
//! do not count: a test may look at anything.

use std::collections::{BTreeMap, BTreeSet};

/// A path within the crate, such as `["store", "Queued"]`.
pub(super) type Names = Vec<String>;

/// The modules of the crate, each with what it names.
#[derive(Default)]
pub(super) struct Crate {
    modules: BTreeMap<String, Module>,
}

#[derive(Default)]
struct Module {
    /// Paths that the module uses itself.
    used: Vec<Names>,
    /// Names that it passes on (`pub use`), with the path behind each.
    re_exported: BTreeMap<String, Names>,
}

impl Crate {
    /// Reads the sources: (module path, text) of each file.
    pub(super) fn read(sources: &[(String, String)]) -> Crate {
        let known: BTreeSet<String> = sources.iter().map(|(module, _)| module.clone()).collect();
        let mut modules = BTreeMap::new();
        for (name, text) in sources {
            let mut module = Module::default();
            let text = code(text);
            let (trees, rest) = use_trees(&text);
            for (public, tree) in trees {
                for (path, alias) in flatten(&tree) {
                    let Some(mut path) = resolve(&path, name, &known) else { continue };
                    if path.last().is_some_and(|last| last == "self") {
                        path.pop();
                    }
                    let called = alias.or_else(|| path.last().cloned()).unwrap_or_default();
                    if public {
                        module.re_exported.insert(called, path);
                    } else {
                        module.used.push(path);
                    }
                }
            }
            for path in paths(&rest) {
                if let Some(path) = resolve(&path, name, &known)
                    && (path.len() > 1 || known.contains(&path.join("::")))
                {
                    module.used.push(path);
                }
            }
            modules.insert(name.clone(), module);
        }
        Crate { modules }
    }

    /// For each module, the modules that it uses: where a name is passed on, the one that has it.
    pub(super) fn arrows(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let arrows = |(name, module): (&'_ String, &Module)| -> BTreeSet<String> {
            module.used.iter().map(|path| self.home(path, 0)).filter(|home| home != name).collect()
        };
        self.modules.iter().map(|entry| (entry.0.as_str(), arrows(entry))).collect()
    }

    /// The module that a path leads to.
    fn home(&self, path: &[String], depth: usize) -> String {
        let length =
            (0..=path.len()).rev().find(|n| self.modules.contains_key(&path[..*n].join("::"))).unwrap_or(0);
        let module = path[..length].join("::");
        let next = path.get(length).and_then(|name| self.modules[&module].re_exported.get(name));
        match next {
            Some(next) if depth < 8 => {
                let mut next = next.clone();
                next.extend_from_slice(&path[length + 1..]);
                self.home(&next, depth + 1)
            }
            _ => module,
        }
    }
}

/// The text without comments and without the inline test module at its end.
fn code(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().filter(|l| !l.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect()
}

/// The `use` statements, each with whether it passes on what it names; and the text without them.
fn use_trees(text: &str) -> (Vec<(bool, String)>, String) {
    let (mut trees, mut rest) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let after_visibility = match start.strip_prefix("pub") {
            Some(after) if after.starts_with('(') => after.split_once(')').map_or("", |(_, rest)| rest),
            Some(after) => after,
            None => start,
        };
        let Some(tree) = after_visibility.trim_start().strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(more) = lines.next() else { break };
            tree.push_str(more.trim());
        }
        trees.push((start.starts_with("pub"), tree.trim_end_matches(';').to_owned()));
    }
    (trees, rest)
}

/// The leaves of a `use` tree, each with its alias.
fn flatten(tree: &str) -> Vec<(Names, Option<String>)> {
    let names = |text: &str| -> Names {
        text.split("::").map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect()
    };
    let Some((head, inner)) = tree.split_once('{') else {
        let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(p, a)| (p, Some(a)));
        return vec![(names(path), alias.map(|a| a.trim().to_owned()))];
    };
    let head = names(head);
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let (mut leaves, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..i].trim().is_empty() {
                    leaves.extend(flatten(inner[start..i].trim()));
                }
                start = i + 1;
            }
            _ => {}
        }
    }
    for (path, _) in &mut leaves {
        path.splice(0..0, head.iter().cloned());
    }
    leaves
}

/// Every `a::b` in the code.
fn paths(text: &str) -> Vec<Names> {
    let mut found = Vec::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for word in text.split(|c: char| !is_part(c)) {
        if let Some((first, _)) = word.split_once("::")
            && !first.is_empty()
        {
            found.push(word.trim_end_matches(':').split("::").map(str::to_owned).collect());
        }
    }
    found
}

/// A path as it is written in a module, from the root of the crate; `None` when it leads out of the crate.
fn resolve(path: &[String], module: &str, known: &BTreeSet<String>) -> Option<Names> {
    let own: Names = module.split("::").filter(|n| !n.is_empty()).map(str::to_owned).collect();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some(own.into_iter().chain(path[1..].iter().cloned()).collect()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            let kept = own.len().checked_sub(ups)?;
            Some(own[..kept].iter().cloned().chain(path[ups..].iter().cloned()).collect())
        }
        child => {
            let full = own.iter().map(String::as_str).chain([child]).collect::<Vec<_>>().join("::");
            known.contains(&full).then(|| own.into_iter().chain(path.iter().cloned()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(sources: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let sources: Vec<_> = sources.iter().map(|(m, t)| ((*m).to_owned(), (*t).to_owned())).collect();
        let read = Crate::read(&sources);
        read.arrows().into_iter().map(|(m, to)| (m.to_owned(), to.into_iter().collect())).collect()
    }

    #[test]
    fn a_re_exported_name_leads_to_the_module_that_has_it() {
        let found = arrows(&[
            ("", ""),
            ("a", "pub use b::Thing;\npub mod b;\n"),
            ("a::b", "pub struct Thing;\n"),
            ("c", "use crate::a::{self, Thing};\n"),
            ("d", "fn f() { crate::a::b::g(); }\n"),
        ]);
        assert_eq!(found[3], ("c".to_owned(), vec!["a".to_owned(), "a::b".to_owned()]));
        assert_eq!(found[4], ("d".to_owned(), vec!["a::b".to_owned()]));
    }

    #[test]
    fn comments_and_inline_tests_do_not_count() {
        let found = arrows(&[
            ("", ""),
            ("a", "// use crate::b::X;\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::b::X;\n}\n"),
            ("b", "pub(crate) use super::a::f;\nfn g() { super::a::f() }\n"),
        ]);
        assert!(found[1].1.is_empty());
        assert_eq!(found[2].1, ["a"]);
    }
}
