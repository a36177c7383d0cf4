//! `app create`, `app list`.

use super::Place;

#[test]
fn the_default_app_exists_and_others_can_be_created() {
    let place = Place::new();
    let apps = place.run("app list --json").json();
    assert_eq!((apps.as_array().unwrap().len(), apps[0]["name"].as_str()), (1, Some("default")));
    assert!(place.run("app create --name shop").ok().starts_with("created app shop with the id "));
    let table = place.run("app list").ok();
    assert!(
        table.starts_with("ID ") && table.contains("  default  ") && table.contains("  shop  "),
        "{table}"
    );
    let taken = place.run("app create --name shop").failed(1);
    assert!(taken.contains("choose another name"), "{taken}");
}

#[test]
fn the_data_directory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    std::fs::create_dir_all(place.path().join("some/where")).unwrap();
    place.run("app list --data some/where").ok();
    let dir = place.path().join("some/where");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_data_directory_that_cannot_be_created_names_the_setting() {
    let place = Place::empty();
    place.write("data", "");
    for command in ["app list", "serve"] {
        let refused = place.run(command).failed(2);
        assert!(refused.contains("choose another one with --data"), "{refused}");
    }
}
