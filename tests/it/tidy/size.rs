//! Files have one subject and functions fit a screen.

use super::{files, read, shown};

/// The most lines of a file in `src` and `assets`.
const FILE_LINES: usize = 500;
/// The most lines of a function in `src`.
const FUNCTION_LINES: usize = 60;
/// The most columns of a line of comment.
const COMMENT_COLUMNS: usize = 120;

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for file in files("src", &[".rs"]).iter().chain(&files("assets", &[".js"])) {
        let name = shown(file);
        let lines = read(file).lines().count();
        if lines > FILE_LINES && !name.ends_with("tests.rs") {
            long.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(long.is_empty(), "files over {FILE_LINES} lines:\n{}", long.join("\n"));
}

/// The functions of a file: name and number of lines, signature and closing brace included. Test modules at the
/// end of the file do not count.
fn functions(text: &str) -> Vec<(String, usize)> {
    let end = text.find("\n#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines: Vec<&str> = text[..end].lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let start = line.trim_start();
        let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "];
        let mut rest = start;
        while let Some(word) = words.iter().find(|w| rest.starts_with(**w)) {
            rest = &rest[word.len()..];
        }
        let Some(rest) = rest.strip_prefix("fn ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let indent = &line[..line.len() - start.len()];
        let closing = format!("{indent}}}");
        let Some(length) = lines[i..].iter().position(|l| *l == closing) else { continue };
        // A declaration without a body, or one on a single line, ends before the next closing brace.
        let declared = lines[i..]
            .iter()
            .take(length)
            .any(|l| l.ends_with(';') && l.starts_with(indent) && !l.starts_with(&format!("{indent} ")));
        if !declared && !line.ends_with(" }") {
            found.push((name, length + 1));
        }
    }
    found
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    for file in files("src", &[".rs"]).iter().filter(|f| !f.ends_with("tests.rs")) {
        for (name, lines) in functions(&read(file)) {
            let place = format!("{}: {name}", shown(file));
            if lines > FUNCTION_LINES {
                long.push(format!("{place}: {lines} lines"));
            }
        }
    }
    assert!(long.is_empty(), "functions over {FUNCTION_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn the_length_of_a_function_is_counted() {
    let text = "pub async fn a() {\n    b();\n}\n\ntrait T {\n    fn c(&self);\n    fn d() {\n    }\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 3), ("d".to_owned(), 2)]);
}

#[test]
fn lines_of_comments_are_short() {
    let mut long = Vec::new();
    for dir in ["src", "tests", "benches", "examples", "assets"] {
        for file in files(dir, &[".rs", ".js", ".css"]) {
            for (i, line) in read(&file).lines().enumerate() {
                let start = line.trim_start();
                let columns = line.chars().count();
                // An address cannot be broken.
                if start.starts_with("//") && columns > COMMENT_COLUMNS && !line.contains("https://") {
                    long.push(format!("{}:{}: {columns} columns", shown(&file), i + 1));
                }
            }
        }
    }
    assert!(long.is_empty(), "comments over {COMMENT_COLUMNS} columns:\n{}", long.join("\n"));
}
