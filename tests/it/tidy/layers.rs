//! The layers: what each part of the program may use. The rules are in `src/lib.rs`, for people; here
//! they are for the compiler's lack of them.

use std::path::Path;

use super::{files, read, root};

/// What each layer may name of the crate, besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("trace", &["config", "host"]),
    ("config", &["domain"]),
    ("host", &["config", "domain"]),
    ("store", &["domain", "host"]),
    ("cluster", &["domain", "host", "store"]),
    ("export", &["domain", "store"]),
    ("delivery", &["cluster", "domain", "host", "store", "trace"]),
    ("service", &["cluster", "domain", "export", "host", "store"]),
    ("upkeep", &["cluster", "config", "delivery", "domain", "host", "store"]),
    ("metrics", &["cluster", "delivery", "domain", "host", "service", "store", "upkeep"]),
    ("http", &["domain", "service", "trace"]),
    ("doctor", &["config", "delivery", "domain", "host", "store"]),
    ("bench", &["host"]),
    (
        "app",
        &[
            "cluster", "config", "delivery", "domain", "host", "http", "metrics", "service", "store",
            "trace", "upkeep",
        ],
    ),
    ("demo", &["app", "config", "delivery", "domain", "host", "service", "store"]),
    (
        "cli",
        &[
            "app", "bench", "config", "delivery", "demo", "doctor", "domain", "export", "host", "http",
            "service", "store", "trace", "upkeep",
        ],
    ),
    ("main", &["cli"]),
];

/// The parts of the crate that a file names, as `crate::part::…`, with the rest of the line.
fn named(text: &str) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for (i, _) in line.match_indices("crate::") {
            // `pub(crate)::` does not exist; `$crate::` and `crate::` are the same here.
            let rest = &line[i + "crate::".len()..];
            let part: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            names.push((part, rest.to_owned()));
        }
    }
    names
}

#[test]
fn each_layer_uses_only_what_is_below_it() {
    let root = root().join("src");
    let files = files("src", &[".rs"]);
    let mut wrong = Vec::new();
    for file in &files {
        let relative = file.strip_prefix(&root).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let layer = first.trim_end_matches(".rs");
        if relative == Path::new("lib.rs") {
            continue;
        }
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{}: the room {layer} is not in the table", relative.display()));
            continue;
        };
        let text = read(file);
        for (part, rest) in named(&text) {
            let own = part == layer || part.is_empty();
            if !own && !may_use.contains(&part.as_str()) {
                wrong.push(format!("{}: crate::{rest}", relative.display()));
            }
        }
        let names_one = text.contains("sqlite::") || text.contains("store::postgres");
        if names_one && !may_name_a_backend(relative) {
            wrong.push(format!("{}: names a backend; store::location opens it", relative.display()));
        }
        if text.contains("rusqlite")
            && !relative.starts_with("store/sqlite")
            && !text_is_about_logging(relative)
        {
            wrong.push(format!("{}: names rusqlite", relative.display()));
        }
        if text.contains("tokio_postgres") && !relative.starts_with("store/postgres") {
            wrong.push(format!("{}: names tokio_postgres", relative.display()));
        }
        let other = |own: &str, other: &str| relative.starts_with(own) && text.contains(other);
        if other("store/sqlite", "store::postgres") || other("store/postgres", "store::sqlite") {
            wrong.push(format!("{}: a backend names the other one", relative.display()));
        }
    }
    assert!(files.len() > 40, "the sources were found");
    assert!(wrong.is_empty(), "a layer uses what it may not:\n{}", wrong.join("\n"));
}

/// The rooms of a backend, each of which may use those before it.
const BACKEND_ROOMS: [&str; 6] = ["engine", "people", "queue", "log", "upkeep", "nodes"];

#[test]
fn each_room_of_a_backend_uses_only_those_before_it() {
    let root = root().join("src/store");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files("src/store", &[".rs"]) {
        let relative = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let [backend, room] = [0, 1].map(|i| relative.split('/').nth(i).unwrap_or_default().to_owned());
        let Some(at) = BACKEND_ROOMS.iter().position(|known| *known == room) else { continue };
        seen += 1;
        for (i, later) in BACKEND_ROOMS.iter().enumerate().filter(|(i, _)| *i > at) {
            let uses = |line: &str| line.contains(&format!("store::{backend}::{later}::"));
            let text = read(&file);
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            wrong.extend(lines.filter(|line| uses(line)).map(|line| format!("{relative} ({i}): {line}")));
        }
    }
    assert!(seen > 80, "the rooms were found: {seen}");
    assert!(wrong.is_empty(), "a room uses one behind it:\n{}", wrong.join("\n"));
}

/// The backend itself, what opens it, and the map of the rooms.
fn may_name_a_backend(relative: &Path) -> bool {
    ["store/sqlite", "store/postgres"].iter().any(|backend| relative.starts_with(backend))
        || relative == Path::new("store/location.rs")
}

/// The logging set-up and configuration list the library by name to quieten it.
fn text_is_about_logging(relative: &Path) -> bool {
    relative == Path::new("trace/logging.rs")
}
