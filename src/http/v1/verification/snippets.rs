//! Code for receivers, from files that run as they stand (`assets/snippets`).
//!
//! The files are written for the default header; its name in lower case stands for the configured one.
//! They hold no secret and no placeholder for one: all read the environment variable `WEBHOOK_SECRET`.
//! Tests run each file in its language.

/// The header in the files.
const DEFAULT_HEADER: &str = "x-webhook-signature";

/// Code in one language.
pub(super) struct Snippet {
    pub(super) language: &'static str,
    pub(super) title: String,
    pub(super) code: String,
}

/// What a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Verify,
    Plain,
    Send,
    Decrypt,
}

macro_rules! file {
    ($language:literal, $task:ident, $name:literal) => {
        ($language, Task::$task, include_str!(concat!("../../../../assets/snippets/", $language, "/", $name)))
    };
}

/// Language, task, file.
const FILES: &[(&str, Task, &str)] = &[
    file!("bash", Verify, "verify.sh"),
    file!("python", Verify, "verify.py"),
    file!("node", Verify, "verify.mjs"),
    file!("php", Verify, "verify.php"),
    file!("go", Verify, "verify.go"),
    file!("rust", Verify, "verify.rs"),
    file!("csharp", Verify, "Verify.cs"),
    file!("python", Decrypt, "decrypt.py"),
    file!("node", Decrypt, "decrypt.mjs"),
    file!("php", Decrypt, "decrypt.php"),
    file!("go", Decrypt, "decrypt.go"),
    file!("rust", Decrypt, "decrypt.rs"),
    file!("csharp", Decrypt, "Decrypt.cs"),
    file!("bash", Plain, "plain.sh"),
    file!("python", Plain, "plain.py"),
    file!("node", Plain, "plain.mjs"),
    file!("php", Plain, "plain.php"),
    file!("go", Plain, "plain.go"),
    file!("rust", Plain, "plain.rs"),
    file!("csharp", Plain, "Plain.cs"),
    file!("bash", Send, "send.sh"),
];

/// The code for receivers of an endpoint: the preferred scheme first.
pub(super) fn of(plain_headers: &[String], encrypted: bool) -> Vec<Snippet> {
    let plain = plain_headers.first();
    let wanted = |task: Task| match task {
        Task::Verify => true,
        Task::Decrypt => encrypted,
        Task::Plain => plain.is_some(),
        Task::Send => !encrypted,
    };
    let name = plain.map_or_else(|| DEFAULT_HEADER.to_owned(), |name| name.to_ascii_lowercase());
    let files = FILES.iter().filter(|(_, task, _)| wanted(*task));
    files
        .map(|(language, task, code)| Snippet {
            language,
            title: title(*task, plain.map_or("", String::as_str)),
            code: code.replace(DEFAULT_HEADER, &name),
        })
        .collect()
}

fn title(task: Task, header: &str) -> String {
    match task {
        Task::Verify => "Verify webhook-signature (Standard Webhooks)".to_owned(),
        Task::Plain => format!("Verify {header} (HMAC over the body)"),
        Task::Send => "Send your receiver a signed request (curl)".to_owned(),
        Task::Decrypt => "Decrypt the body".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_header_is_in_the_code_and_no_secret_is() {
        for snippet in of(&["X-Signature-MexCep".to_owned(), "X-Second".to_owned()], true) {
            assert!(!snippet.code.contains("x-webhook-signature"), "{}", snippet.language);
            let is_plain = snippet.title.contains("X-Signature-MexCep");
            assert_eq!(snippet.code.contains("x-signature-mexcep"), is_plain, "{}", snippet.title);
            assert!(snippet.code.contains("WEBHOOK_SECRET"), "{}", snippet.title);
        }
    }

    #[test]
    fn each_language_has_what_the_endpoint_needs() {
        let count = |headers: &[String], encrypted| of(headers, encrypted).len();
        let header = ["X-A".to_owned()];
        assert_eq!([count(&[], false), count(&header, false), count(&header, true)], [8, 15, 20]);
    }
}
