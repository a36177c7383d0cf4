//! `completions` and `man`.

use super::*;

#[test]
fn completions_and_manual_list_every_command() {
    let place = Place::new();
    let page = place.run("man").ok();
    assert!(page.contains(".TH postrider 1") && page.contains("\\-\\-config"), "{page}");
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&format!("completions {shell}")).ok();
        for command in ["serve", "key", "backup", "restore", "check", "doctor", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
            assert!(page.contains(&format!("COMMAND {}", command.to_uppercase())), "{command}");
        }
    }
    assert_eq!(place.run("completions tcsh").code, 2);
}
