//! Where values come from: flags, the environment, the file, the defaults, in this order.
//!
//! Every source is checked completely, even where another one takes precedence: an invalid value that is
//! overridden today would surprise when the override is removed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::input_file;
use super::keys::{self, KEYS, KeySpec};
use super::kind::Raw;
use super::origin::Origin;
use super::problem::{Problem, Problems, nearest};
use super::service_links::is_service_link;
use super::toml_error;
use super::value::{FromValue, Value};

/// The environment variable that names the configuration file, as `--config` does.
pub const CONFIG_ENV: &str = "POSTRIDER_CONFIG";
const ENV_PREFIX: &str = "POSTRIDER_";
/// In the environment: no value, for a key without default that the file sets.
const NONE: &str = "none";

/// The sources of a configuration. The default has none.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`; without it, `POSTRIDER_CONFIG` may name the file.
    pub file: Option<PathBuf>,
    /// The environment of the process; only `POSTRIDER_…` matters.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags that set a key: (flag, key, value).
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// All keys with value and origin.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    found: BTreeMap<&'static str, (Value, Origin)>,
    warnings: Vec<Problem>,
}

impl Settings {
    /// The value of a key, as the type that its kind has.
    pub(super) fn get<T: FromValue>(&self, name: &str) -> T {
        let value = self.value(name);
        T::from_value(value).unwrap_or_else(|| panic!("{name} is in the table with this type"))
    }

    pub(super) fn value(&self, name: &str) -> &Value {
        self.found.get(name).map_or(&Value::Unset, |(value, _)| value)
    }

    /// Drops what was said of the keys of a section, which have no defaults of importance.
    pub(super) fn forget(&mut self, section: &str) {
        for spec in KEYS.iter().filter(|spec| spec.name.starts_with(section) && spec.default.is_none()) {
            self.found.insert(spec.name, (Value::Unset, Origin::Default));
        }
    }

    pub(super) fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    pub(super) fn origin(&self, name: &str) -> &Origin {
        self.found.get(name).map_or(&Origin::Default, |(_, origin)| origin)
    }
}

/// Reads all sources in order of precedence.
pub(super) fn settings(sources: &Sources) -> Result<Settings, Problems> {
    let mut reader = Reader { found: BTreeMap::new(), problems: Vec::new(), warnings: Vec::new() };
    reader.defaults();
    if let Some(path) = reader.file_path(sources) {
        reader.file(&path);
    }
    reader.environment(&sources.environment);
    for (flag, key, value) in &sources.flags {
        let spec = keys::find(key).expect("every flag sets a key of the table");
        reader.take(spec, Raw::Text(value.clone()), Origin::Flag(flag));
    }
    let Reader { found, problems, warnings } = reader;
    if problems.is_empty() { Ok(Settings { found, warnings }) } else { Err(Problems(problems)) }
}

struct Reader {
    found: BTreeMap<&'static str, (Value, Origin)>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, subject: impl Into<String>, origin: Option<Origin>, advice: impl Into<String>) {
        self.problems.push(Problem { subject: subject.into(), value: None, origin, advice: advice.into() });
    }

    /// Checks a value; it overrides earlier sources.
    fn take(&mut self, spec: &'static KeySpec, raw: Raw, origin: Origin) {
        match spec.kind.read(&raw) {
            Ok(value) => {
                self.found.insert(spec.name, (value, origin));
            }
            Err(advice) => self.problems.push(Problem {
                subject: spec.name.to_owned(),
                value: Some(if spec.is_secret() { "(hidden)".to_owned() } else { raw.to_string() }),
                origin: Some(origin),
                advice,
            }),
        }
    }

    /// Reads a secret from a file.
    fn take_secret_file(&mut self, spec: &'static KeySpec, path: &str, origin: Origin) {
        match input_file::read_text(Path::new(path), input_file::SECRET_MAX) {
            Ok(text) => self.take(spec, Raw::Text(without_line_end(&text).to_owned()), origin),
            Err(error) => self.problems.push(Problem {
                subject: format!("{}_file", spec.name),
                value: Some(format!("\"{path}\"")),
                origin: Some(origin),
                advice: format!("cannot read the file with the secret: {error}"),
            }),
        }
    }

    fn defaults(&mut self) {
        for spec in KEYS {
            match spec.default {
                Some(text) => self.take(spec, Raw::Text(text.to_owned()), Origin::Default),
                None => {
                    self.found.insert(spec.name, (Value::Unset, Origin::Default));
                }
            }
        }
    }

    // ------------------------------------------------------------------------- the file

    fn file_path(&self, sources: &Sources) -> Option<PathBuf> {
        let is_set = |name: &OsString, path: &OsString| name == CONFIG_ENV && !path.is_empty();
        let named = || sources.environment.iter().find(|(name, path)| is_set(name, path));
        sources.file.clone().or_else(|| named().map(|(_, path)| PathBuf::from(path)))
    }

    fn file(&mut self, path: &Path) {
        let text = match input_file::read_text(path, input_file::CONFIG_MAX) {
            Ok(text) => text,
            Err(error) => {
                let advice = format!("cannot read the configuration file: {error}");
                return self.problem(path.display().to_string(), None, advice);
            }
        };
        match text.parse::<toml::Table>() {
            Ok(table) => self.table("", &table, path),
            Err(error) => {
                // The library's rendering shows the line, which may contain a secret.
                let line = error.span().map_or(1, |span| line_of(&text, span.start));
                let message =
                    || format!("expected TOML: {}", error.message().lines().collect::<Vec<_>>().join(" "));
                let advice = text.lines().nth(line - 1).and_then(toml_error::advice).unwrap_or_else(message);
                self.problem(format!("{}:{line}", path.display()), None, advice);
            }
        }
    }

    fn table(&mut self, prefix: &str, table: &toml::Table, path: &Path) {
        for (key, value) in table {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            let origin = || Origin::File(path.to_owned());
            let is_section = KEYS.iter().any(|k| k.section_and_key().0 == name);
            match (find(&name), value) {
                (Some(KnownName::Value(spec)), value) => self.take(spec, Raw::Toml(value.clone()), origin()),
                (Some(KnownName::FileOf(spec)), toml::Value::String(file)) => {
                    self.only_one_form(spec, table.contains_key(spec.section_and_key().1), origin());
                    self.take_secret_file(spec, file, origin());
                }
                (Some(KnownName::FileOf(_)), _) => {
                    self.problem(name, Some(origin()), "expected the path of a file with the secret");
                }
                (None, toml::Value::Table(inner)) if is_section || !inner.is_empty() => {
                    self.table(&name, inner, path);
                }
                (None, _) if is_section => {
                    self.problem(name, Some(origin()), "expected a section with keys in it");
                }
                (None, _) => {
                    let known = names();
                    let advice = unknown("key", nearest(&name, known.iter().map(String::as_str)));
                    self.problem(name, Some(origin()), advice);
                }
            }
        }
    }

    // ------------------------------------------------------------------------- the environment

    fn environment(&mut self, environment: &[(OsString, OsString)]) {
        let in_kubernetes = environment.iter().any(|(name, _)| name == "KUBERNETES_SERVICE_HOST");
        let is_link = |name: &str, value: &OsString| {
            find_env(name).is_none() && is_service_link(&name[ENV_PREFIX.len()..], &value.to_string_lossy())
        };
        let mut ours: Vec<_> = environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, _)| name.starts_with(ENV_PREFIX) && *name != CONFIG_ENV)
            .filter(|(name, value)| !(in_kubernetes && is_link(name, value)))
            // An empty one counts as not set: compose files and units often pass variables on that are not set.
            .filter(|(_, value)| !value.is_empty())
            .collect();
        ours.sort();
        for (name, value) in &ours {
            let origin = Origin::Environment((*name).to_owned());
            let Some(value) = value.to_str() else {
                self.problem(*name, None, "expected text in UTF-8");
                continue;
            };
            match find_env(name) {
                Some(KnownName::Value(spec)) if value == NONE && spec.default.is_none() => {
                    self.found.insert(spec.name, (Value::Unset, origin));
                }
                Some(KnownName::Value(spec)) => self.take(spec, Raw::Text(value.to_owned()), origin),
                Some(KnownName::FileOf(spec)) => {
                    let twice = ours.iter().any(|(other, _)| *other == spec.env_name());
                    self.only_one_form(spec, twice, origin.clone());
                    self.take_secret_file(spec, value, origin);
                }
                None => {
                    // Without the prefix, which would make every name look like every other one.
                    let short = |name: &str| name[ENV_PREFIX.len()..].to_owned();
                    let names = names().iter().map(|n| short(&env_name(n))).collect::<Vec<_>>();
                    let known = names.iter().map(String::as_str).chain(["CONFIG"]);
                    let nearest = nearest(&short(name), known).map(|n| format!("{ENV_PREFIX}{n}"));
                    let advice = unknown("environment variable", nearest.as_deref());
                    if nearest.as_deref().is_some_and(says_where_data_is) {
                        // Data would go elsewhere, or be sealed with another key.
                        self.problem(*name, None, advice);
                    } else {
                        // The image or the unit may use it for something else.
                        self.warn(name, advice);
                    }
                }
            }
        }
    }

    fn warn(&mut self, name: &str, advice: String) {
        self.warnings.push(Problem { subject: name.to_owned(), value: None, origin: None, advice });
    }

    fn only_one_form(&mut self, spec: &KeySpec, twice: bool, origin: Origin) {
        if twice {
            let advice = format!("expected {0} or {0}_file, not both", spec.name);
            self.problem(format!("{}_file", spec.name), Some(origin), advice);
        }
    }
}

/// Whether a variable decides where data is, or how it is encrypted.
fn says_where_data_is(name: &str) -> bool {
    let name = name.trim_start_matches(ENV_PREFIX);
    name.starts_with("STORAGE__") || name.starts_with("ENCRYPTION_KEY")
}

/// The meaning of a name in a file or in the environment.
enum KnownName {
    Value(&'static KeySpec),
    /// The path of a file with the secret.
    FileOf(&'static KeySpec),
}

fn find(name: &str) -> Option<KnownName> {
    let of_file = || name.strip_suffix("_file").and_then(keys::find).filter(|k| k.is_secret());
    keys::find(name).map(KnownName::Value).or_else(|| of_file().map(KnownName::FileOf))
}

fn find_env(name: &str) -> Option<KnownName> {
    names().iter().find(|n| env_name(n) == name).and_then(|n| find(n))
}

fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// All names in a file: the keys, and `…_file` of the secret ones.
fn names() -> Vec<String> {
    let files = KEYS.iter().filter(|k| k.is_secret()).map(|k| format!("{}_file", k.name));
    KEYS.iter().map(|k| k.name.to_owned()).chain(files).collect()
}

fn unknown(what: &str, nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("unknown {what}; did you mean {name}?"),
        None => format!("unknown {what}; config.example.toml lists all keys"),
    }
}

/// Removes the one line end that an editor or `echo` adds.
pub fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn sources(toml: &str, env: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postrider.toml");
        std::fs::write(&file, toml).unwrap();
        let environment = env.iter().map(|(n, v)| (n.into(), v.into())).collect();
        (dir, Sources { file: Some(file), environment, flags: Vec::new() })
    }

    fn problems(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
        let (dir, sources) = sources(toml, env);
        let shown = Config::load(&sources).map_or_else(|p| p.to_string(), |_| String::new());
        shown.lines().map(|l| l.replace(&format!("{}/", dir.path().display()), "")).collect()
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let (_dir, mut sources) = sources(
            "listen = '1.1.1.1:1'\ndata_dir = 'file'\nauth.key_prefix = 'file'",
            &[("POSTRIDER_LISTEN", "2.2.2.2:2"), ("POSTRIDER_DATA_DIR", "env")],
        );
        sources.flags = vec![("--listen", "listen", "3.3.3.3:3".to_owned())];
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.listen.to_string(), "3.3.3.3:3");
        assert_eq!(config.data_dir, PathBuf::from("env"));
        assert_eq!(config.auth.key_prefix, "file");
        assert_eq!(config.log.level, "info");
        assert_eq!(config.origin("listen"), &Origin::Flag("--listen"));
        assert_eq!(config.origin("data_dir").to_string(), "environment POSTRIDER_DATA_DIR");
        assert!(matches!(config.origin("auth.key_prefix"), Origin::File(_)));
        assert_eq!(config.origin("log.level"), &Origin::Default);
    }

    #[test]
    fn lists_in_the_environment_are_separated_by_commas() {
        let (_dir, sources) = sources(
            "",
            &[
                ("POSTRIDER_NETWORK__ALLOW", "127.0.0.0/8,192.168.1.0/24"),
                ("POSTRIDER_DELIVERY__RETRY_SCHEDULE", "[]"),
            ],
        );
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.network.allow.len(), 2);
        assert!(config.delivery.retry_schedule.waits().is_empty());
    }

    #[test]
    fn secrets_can_be_given_in_files() {
        let dir = tempfile::tempdir().unwrap();
        let (key, token) = (dir.path().join("key"), dir.path().join("token"));
        std::fs::write(&key, format!("{}\n", "k".repeat(32))).unwrap();
        std::fs::write(&token, "t0ken\r\n").unwrap();
        let toml = format!("metrics.token_file = '{}'", token.display());
        let (_dir, sources) = sources(&toml, &[("POSTRIDER_ENCRYPTION_KEY_FILE", key.to_str().unwrap())]);
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.encryption_key.as_ref().unwrap().expose(), "k".repeat(32));
        assert_eq!(config.metrics.token.as_ref().unwrap().expose(), "t0ken");
        assert_eq!(config.origin("encryption_key").to_string(), "environment POSTRIDER_ENCRYPTION_KEY_FILE");
        assert!(!format!("{config:?}").contains("t0ken"));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let found = problems(
            "listne = 'x'\ndelivery.timeout = '1h'\ndelivery.concurrency = 0\n[limits]\nevent_size = true\n[logs]\nlevel = 'debug'",
            &[("POSTRIDER_DELIVERY__JITTER", "2")],
        );
        insta::assert_snapshot!(found.join("\n"), @r#"
        delivery.concurrency = 0 (file postrider.toml): expected a whole number from 1 to 65536
        delivery.timeout = "1h" (file postrider.toml): expected a duration from 1ms to 30s, such as 10s (a whole number and ms, s or m)
        limits.event_size = true (file postrider.toml): expected a size from 1 B to 64 MiB, such as 16KiB, 1MiB or 16384
        listne (file postrider.toml): unknown key; did you mean listen?
        logs.level (file postrider.toml): unknown key; did you mean log.level?
        delivery.jitter = "2" (environment POSTRIDER_DELIVERY__JITTER): expected a number from 0 to 1
        "#);
    }

    #[test]
    fn the_value_of_a_secret_is_never_shown() {
        let secret = "tooshort-s3cret";
        let found = problems(
            &format!("encryption_key = '{secret}'\nencryption_ky = '{secret}'"),
            &[("POSTRIDER_METRICS__TOKEN", &format!("{secret} {secret}")), ("POSTRIDER_TOKEN", secret)],
        );
        assert_eq!(found.len(), 3);
        assert!(!found.join("\n").contains(secret), "{found:?}");
        let broken = problems(&format!("encryption_key = '{secret}"), &[]);
        assert_eq!(broken.len(), 1);
        assert!(
            broken[0].starts_with("postrider.toml:1: expected a closing '") && !broken[0].contains(secret),
            "{broken:?}"
        );
    }

    #[test]
    fn a_secret_cannot_be_given_twice() {
        let found = problems("[metrics]\ntoken = 'a'\ntoken_file = '/nonexistent'", &[]);
        assert!(found[0].contains("expected metrics.token or metrics.token_file, not both"), "{found:?}");
        assert!(found[1].starts_with("metrics.token_file = \"/nonexistent\" (file "), "{found:?}");
    }

    #[test]
    fn a_section_is_not_a_value_and_a_value_not_a_section() {
        let found = problems("delivery = 5\nlisten.port = 1", &[]);
        assert!(found[0].ends_with("expected a section with keys in it"), "{found:?}");
        assert!(found[1].starts_with("listen = a table"), "{found:?}");
    }

    #[test]
    fn a_missing_file_is_a_problem() {
        let sources = Sources {
            environment: vec![(CONFIG_ENV.into(), "/nonexistent/p.toml".into())],
            ..Sources::default()
        };
        let shown = Config::load(&sources).unwrap_err().to_string();
        assert!(shown.starts_with("/nonexistent/p.toml: cannot read the configuration file"), "{shown}");
    }

    fn warnings(env: &[(&str, &str)]) -> Vec<String> {
        let (_dir, sources) = sources("", env);
        Config::load(&sources).unwrap().warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn service_links_are_ignored_in_kubernetes_only() {
        let link = ("POSTRIDER_SERVICE_HOST", "10.0.0.1");
        assert_eq!(warnings(&[link]).len(), 1);
        let port = ("POSTRIDER_METRICS_PORT_9090_TCP", "tcp://10.0.0.1:9090");
        assert!(warnings(&[("KUBERNETES_SERVICE_HOST", "10.0.0.2"), link, port]).is_empty());
        // What looks like a key is not taken for a link.
        let typo = ("POSTRIDER_LISTN", "127.0.0.1:1");
        assert_eq!(warnings(&[("KUBERNETES_SERVICE_HOST", "10.0.0.2"), typo]).len(), 1);
    }

    #[test]
    fn an_unknown_variable_is_a_warning_with_the_nearest_known_one() {
        assert_eq!(
            warnings(&[("POSTRIDER_LISTN", "127.0.0.1:1"), ("POSTRIDER_VERSION", "1.2")]),
            [
                "POSTRIDER_LISTN: unknown environment variable; did you mean POSTRIDER_LISTEN?",
                "POSTRIDER_VERSION: unknown environment variable; config.example.toml lists all keys"
            ]
        );
    }

    #[test]
    fn a_misspelt_variable_that_says_where_data_is_is_an_error() {
        for name in ["POSTRIDER_STORAGE_URL", "POSTRIDER_STORAGE__ULR", "POSTRIDER_ENCRYPTION_KY"] {
            let found = problems("", &[(name, "postgres://u@h/d")]);
            assert!(found.len() == 1 && found[0].contains("did you mean"), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_database_server_needs_a_key_and_no_backups() {
        let url = ("POSTRIDER_STORAGE__URL", "postgres://u:s3cret@h/d");
        let found = problems("backup.every = '1d'", &[url]);
        assert!(found.len() == 2 && !found.join("").contains("s3cret"), "{found:?}");
        assert!(found[0].starts_with("encryption_key") && found[1].starts_with("backup.every"), "{found:?}");
        let (_dir, sources) = sources("", &[url, ("POSTRIDER_ENCRYPTION_KEY", &"k".repeat(32))]);
        let config = Config::load(&sources).unwrap();
        assert!(config.storage.url.is_some() && !config.dump().contains("s3cret"));
    }

    #[test]
    fn an_empty_variable_counts_as_not_set_and_none_unsets_what_the_file_sets() {
        let toml = "public_url = 'https://example.com'\nnetwork.allow = ['10.0.0.0/8']\nlisten = '1.1.1.1:1'";
        let names =
            ["POSTRIDER_LISTEN", "POSTRIDER_NETWORK__ALLOW", "POSTRIDER_ENCRYPTION_KEY_FILE", "POSTRIDER_X"];
        let (_dir, sources) = sources(toml, &names.map(|name| (name, "")));
        let config = Config::load(&sources).unwrap();
        assert_eq!((config.listen.to_string().as_str(), config.network.allow.len()), ("1.1.1.1:1", 1));
        assert!(config.public_url.is_some() && config.warnings.is_empty());
        let unset = [("POSTRIDER_PUBLIC_URL", "none"), ("POSTRIDER_NETWORK__ALLOW", "[]")];
        let (_dir, sources) = super::tests::sources(toml, &unset);
        let config = Config::load(&sources).unwrap();
        assert!(config.public_url.is_none() && config.network.allow.is_empty());
        assert!(
            Config::load(&Sources {
                environment: vec![(CONFIG_ENV.into(), "".into())],
                ..Sources::default()
            })
            .is_ok()
        );
    }
}
