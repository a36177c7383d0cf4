//! `config check` and `config dump`, and with them how a configuration is read.

use super::Place;

#[test]
fn no_configuration_is_valid_and_creates_no_files() {
    let place = Place::empty();
    assert_eq!(place.run("config check").ok(), "configuration is fine\n");
    place.run("config dump").ok();
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let place = Place::new();
    place.write("p.toml", "listen = '1.1.1.1:1'\ndata_dir = 'from-file'\n[auth]\nkey_prefix = 'mxcep'\n");
    let environment = [("POSTRIDER_LISTEN", "2.2.2.2:2"), ("POSTRIDER_DATA_DIR", "from-env")];
    let dump = place.run_with("config dump --config p.toml --listen 3.3.3.3:3", &environment).ok();
    let line = |key: &str| {
        let found = dump.lines().find(|l| l.starts_with(&format!("{key} = "))).unwrap();
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("listen"), "listen = \"3.3.3.3:3\" # flag --listen");
    assert_eq!(line("data_dir"), "data_dir = \"from-env\" # environment POSTRIDER_DATA_DIR");
    assert_eq!(line("auth.key_prefix"), "auth.key_prefix = \"mxcep\" # file p.toml");
    assert_eq!(line("delivery.timeout"), "delivery.timeout = \"10s\" # default");
}

#[test]
fn the_environment_can_name_the_file() {
    let place = Place::new();
    place.write("p.toml", "auth.key_prefix = 'mxcep'");
    let dump = place.run_with("config dump", &[("POSTRIDER_CONFIG", "p.toml")]).ok();
    assert!(dump.contains("auth.key_prefix = \"mxcep\""));
}

#[test]
fn all_problems_are_reported_at_once_with_exit_code_2() {
    let place = Place::new();
    place.write("p.toml", "colour = 'red'\n[delivery]\ntimeout = '1h'\nretry_schedul = []\n");
    let environment = [("POSTRIDER_NETWORK__ALLOW", "10.0.0.0/8,nowhere"), ("POSTRIDER_LISTEN", "x")];
    for command in ["config check", "config dump", "key list", "healthcheck"] {
        let problems = place.run_with(&format!("--config p.toml {command}"), &environment).failed(2);
        insta::allow_duplicates! {
            insta::assert_snapshot!(problems, @r#"
            colour (file p.toml): unknown key; config.example.toml lists all keys
            delivery.retry_schedul (file p.toml): unknown key; did you mean delivery.retry_schedule?
            delivery.timeout = "1h" (file p.toml): expected a duration from 1ms to 30s, such as 10s (a whole number and ms, s or m)
            listen = "x" (environment POSTRIDER_LISTEN): expected an IP address and a port, such as 127.0.0.1:8080, localhost:8080, :8080 (all IPv4 addresses) or [::]:8080, or unix: and the path of a socket
            network.allow = "10.0.0.0/8,nowhere" (environment POSTRIDER_NETWORK__ALLOW): expected a list of networks or addresses, such as 10.0.0.0/8, 192.168.1.7 or fd00::/8
            "#);
        }
    }
}

#[test]
fn a_secret_in_a_file_is_read_and_never_shown() {
    let place = Place::new();
    let key = "0123456789abcdef0123456789abcdef";
    place.write("key", &format!("{key}\n"));
    place.write("p.toml", "metrics.token = 'very-secret-token'");
    let environment = [("POSTRIDER_ENCRYPTION_KEY_FILE", "key")];
    let dump = place.run_with("config dump --config p.toml", &environment).ok();
    assert!(!dump.contains(key) && !dump.contains("very-secret-token"));
    assert!(dump.contains("# encryption_key is set and not shown"));
    place.write("key", "short-secret");
    let problems = place.run_with("config check", &environment).failed(2);
    assert_eq!(
        problems,
        "encryption_key = (hidden) (environment POSTRIDER_ENCRYPTION_KEY_FILE): expected at least 32 characters\n"
    );
}

#[test]
fn a_file_that_is_missing_or_invalid_is_named() {
    let place = Place::new();
    let missing = place.run("config check --config nowhere.toml").failed(2);
    assert!(missing.starts_with("nowhere.toml: cannot read the configuration file"), "{missing}");
    place.write("p.toml", "listen = '1.1.1.1:1'\nencryption_key = 'abc\n");
    let broken = place.run("config check --config p.toml").failed(2);
    assert!(broken.starts_with("p.toml:2: expected a closing '") && broken.lines().count() == 1, "{broken}");
    assert!(!broken.contains("abc"));
}

#[test]
fn the_example_file_is_valid() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
    Place::new().run(&format!("config check --config {example}")).ok();
}

#[test]
fn an_unknown_variable_is_a_warning_and_an_error_only_with_strict() {
    let place = Place::new();
    let environment =
        [("POSTRIDER_LISTN", "127.0.0.1:1"), ("POSTRIDER_VERSION", "1"), ("POSTRIDER_LISTEN", "")];
    let ran = place.run_with("config check", &environment);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "configuration is fine\n"));
    assert_eq!(
        ran.stderr,
        "warning: POSTRIDER_LISTN: unknown environment variable; did you mean POSTRIDER_LISTEN?\n\
         warning: POSTRIDER_VERSION: unknown environment variable; config.example.toml lists all keys\n"
    );
    let strict = place.run_with("config check --strict", &environment).failed(2);
    assert!(strict.contains("did you mean POSTRIDER_LISTEN?"), "{strict}");
    place.run_with("key list", &environment).ok();
    let link = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("POSTRIDER_WEB_PORT", "tcp://10.0.0.2:80")];
    assert_eq!(place.run_with("config check --strict", &link).ok(), "configuration is fine\n");
}

#[test]
fn an_address_without_quotes_gets_a_sentence() {
    let place = Place::new();
    place.write("p.toml", "[log]\nlevel = 'info'\n\n[http]\nlisten = 127.0.0.1:8080\n");
    let said = place.run("config check --config p.toml").failed(2);
    assert_eq!(said, "p.toml:5: expected quotes around the value: listen = \"…\"\n");
}
