//! Shows a configuration as TOML that can be loaded again. Secret and unset keys appear as comments.

use super::keys::KEYS;
use super::load::Settings;
use super::value::Value;

/// A line for each key: name, value, origin.
pub(super) fn dump(settings: &Settings) -> String {
    let line = |spec: &super::KeySpec| {
        let (value, origin) = (settings.value(spec.name), settings.origin(spec.name));
        let left = match (value, value.to_toml()) {
            (_, Some(toml)) => format!("{} = {toml}", spec.name),
            (Value::Unset, None) => format!("# {} is not set", spec.name),
            (_, None) => format!("# {} is set and not shown", spec.name),
        };
        format!("{left:<48}  # {origin}\n")
    };
    KEYS.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KeySpec;
    use crate::config::load::{Sources, settings};
    use crate::config::{Config, Origin};

    const EXAMPLE: &str = include_str!("../../config.example.toml");

    #[test]
    fn a_dump_can_be_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dumped.toml");
        let environment = vec![
            ("POSTRIDER_LIMITS__EVENT_SIZE".into(), "1MiB".into()),
            ("POSTRIDER_METRICS__TOKEN".into(), "hidden-token".into()),
        ];
        let sources = Sources { environment, ..Sources::default() };
        let dumped = Config::load(&sources).unwrap().dump();
        assert!(!dumped.contains("hidden-token"));
        assert!(dumped.contains("# metrics.token is set and not shown"));
        std::fs::write(&file, &dumped).unwrap();
        let again = Config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
        assert_eq!(again.limits.event_size, 1 << 20);
        assert!(dumped.lines().any(|l| {
            l.starts_with("limits.event_size = \"1MiB\" ")
                && l.ends_with("# environment POSTRIDER_LIMITS__EVENT_SIZE")
        }));
    }

    /// Breaks a sentence into comment lines.
    fn comment(text: &str) -> String {
        let mut lines = vec!["#".to_owned()];
        for word in text.split(' ') {
            let last = lines.last_mut().expect("there is always a line");
            if last.len() + word.len() > 98 {
                lines.push(format!("# {word}"));
            } else {
                last.push(' ');
                last.push_str(word);
            }
        }
        lines.join("\n") + "\n"
    }

    fn entry(spec: &KeySpec) -> String {
        let (_, key) = spec.section_and_key();
        let raw = spec.default.map(|d| crate::config::kind::Raw::Text(d.to_owned()));
        let value = raw.and_then(|raw| spec.kind.read(&raw).unwrap().to_toml());
        let lines = match value {
            Some(toml) => format!("{key} = {toml}\n"),
            None if spec.is_secret() => format!("#{key} = \"\"\n#{key}_file = \"\"\n"),
            None => format!("#{key} = \"\"\n"),
        };
        comment(spec.about) + &lines
    }

    fn example() -> String {
        let mut text = comment(
            "Postrider's configuration: every key with its default. Each key can also be set in the environment: \
             POSTRIDER_ and the key in capitals, with two underscores after the section \
             (POSTRIDER_DELIVERY__TIMEOUT=10s) and commas between the items of a list.",
        );
        let mut section = "";
        for spec in KEYS {
            if spec.section_and_key().0 != section {
                section = spec.section_and_key().0;
                text += &format!("\n[{section}]");
            }
            text += &format!("\n{}", entry(spec));
        }
        text
    }

    /// Set `UPDATE_EXAMPLE=1` to regenerate the file after a change of the table.
    #[test]
    fn the_example_file_matches_the_table() {
        if std::env::var_os("UPDATE_EXAMPLE").is_some() {
            std::fs::write("config.example.toml", example()).unwrap();
            return;
        }
        assert_eq!(EXAMPLE, example());
    }

    #[test]
    fn the_example_file_has_the_defaults() {
        let file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml").into());
        let example = settings(&Sources { file, ..Sources::default() }).unwrap();
        let defaults = settings(&Sources::default()).unwrap();
        for spec in KEYS {
            assert_eq!(example.value(spec.name), defaults.value(spec.name), "{}", spec.name);
            let in_file = matches!(example.origin(spec.name), Origin::File(_));
            assert_eq!(in_file, spec.default.is_some(), "{}", spec.name);
        }
    }
}
