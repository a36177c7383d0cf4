use super::*;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use crate::domain::{EndpointId, Timestamp};

fn config(path: PathBuf) -> Config {
    let mut config = Config::default();
    config.data_dir = path;
    config
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_directory_and_its_files_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&config(parent.path().join("a/data"))).unwrap();
    let _lock = dir.lock().unwrap();
    assert_eq!(mode(dir.path()), 0o700);
    for entry in fs::read_dir(dir.path()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn wide_permissions_are_restricted() {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    let config = config(parent.path().to_owned());
    let dir = DataDir::open(&config).unwrap();
    assert_eq!(mode(dir.path()), 0o700);
    fs::write(dir.database(), "").unwrap();
    fs::set_permissions(dir.database(), Permissions::from_mode(0o644)).unwrap();
    DataDir::open(&config).unwrap();
    assert_eq!(mode(&dir.database()), 0o600);
}

#[test]
fn a_directory_with_other_things_keeps_its_permissions() {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(parent.path().join("notes.txt"), "").unwrap();
    DataDir::open(&config(parent.path().to_owned())).unwrap();
    assert_eq!(mode(parent.path()), 0o755);
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_unless_it_is_empty() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(parent.path().to_owned());
    for wide in [0o777, 0o770, 0o702] {
        fs::set_permissions(parent.path(), Permissions::from_mode(wide)).unwrap();
        let dir = DataDir::open(&config).unwrap();
        assert_eq!(mode(dir.path()), 0o700, "an empty one is restricted");
        fs::set_permissions(parent.path(), Permissions::from_mode(wide)).unwrap();
        let error = DataDir::open(&config).unwrap_err();
        assert!(matches!(error, DataDirError::WritableByOthers { .. }), "{error}");
        assert!(error.to_string().contains("chmod 700"), "{error}");
        fs::remove_file(dir.key_file()).unwrap();
    }
}

#[test]
fn a_linked_key_file_is_refused_and_a_linked_lock_is_not_followed() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(parent.path().join("data"));
    let dir = DataDir::open(&config).unwrap();
    let elsewhere = parent.path().join("elsewhere");
    fs::rename(dir.key_file(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.key_file()).unwrap();
    for error in [DataDir::open(&config).unwrap_err(), dir.vault().unwrap_err()] {
        assert!(matches!(error, DataDirError::KeyNotTrusted { .. }), "{error}");
    }
    std::os::unix::fs::symlink(parent.path().join("target"), dir.path().join(LOCK_FILE)).unwrap();
    assert!(dir.lock().is_err() && !parent.path().join("target").exists());
}

#[test]
fn commands_need_a_directory_that_exists_and_is_ours_or_empty() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(parent.path().join("data"));
    let refused = || DataDir::open_existing(&config).unwrap_err();
    assert!(matches!(refused(), DataDirError::Missing(_)));
    assert!(!config.data_dir.exists(), "nothing is created");
    fs::create_dir(&config.data_dir).unwrap();
    fs::write(config.data_dir.join("notes.txt"), "").unwrap();
    assert!(matches!(refused(), DataDirError::Foreign(_)));
    fs::remove_file(config.data_dir.join("notes.txt")).unwrap();
    assert!(DataDir::open_existing(&config).is_ok());
}

#[test]
fn the_url_is_known_only_while_a_server_runs() {
    let parent = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&config(parent.path().join("data"))).unwrap();
    let lock = dir.lock().unwrap();
    dir.note_url("http://127.0.0.1:4711").unwrap();
    assert_eq!(dir.url().as_deref(), Some("http://127.0.0.1:4711"));
    drop(lock);
    assert_eq!(dir.url(), None, "a note that a crash has left");
}

#[test]
fn a_second_server_is_refused_until_the_first_ends() {
    let parent = tempfile::tempdir().unwrap();
    let dir = DataDir::open(&config(parent.path().join("data"))).unwrap();
    let first = dir.lock().unwrap();
    assert!(matches!(dir.lock(), Err(DataDirError::InUse(_))));
    drop(first);
    assert!(dir.lock().is_ok());
}

#[test]
fn the_key_is_created_once() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(parent.path().join("data"));
    let endpoint = EndpointId::new(Timestamp::from_millis(0));
    let open = || DataDir::open(&config).unwrap().vault().unwrap();
    let sealed = open().seal_header(endpoint, "a", "value");
    assert_eq!(open().open_header(endpoint, "a", &sealed).unwrap(), "value");
}

#[test]
fn concurrent_commands_agree_on_one_key() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(parent.path().join("data"));
    let keys: Vec<_> = std::thread::scope(|scope| {
        let open = || {
            let dir = DataDir::open(&config).unwrap();
            dir.vault().unwrap();
            fs::read_to_string(dir.key_file()).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn a_lost_key_is_never_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let config = config(parent.path().join("data"));
    let dir = DataDir::open(&config).unwrap();
    fs::write(dir.database(), "").unwrap();
    fs::remove_file(dir.key_file()).unwrap();
    let again = DataDir::open(&config).unwrap();
    assert!(matches!(again.vault(), Err(DataDirError::KeyLost { .. })));
    fs::write(dir.key_file(), "abc").unwrap();
    assert!(matches!(again.vault(), Err(DataDirError::KeyDamaged(_))));
}

#[test]
fn with_a_configured_key_no_key_file_is_created() {
    let parent = tempfile::tempdir().unwrap();
    let mut config = config(parent.path().join("data"));
    config.encryption_key = Some(Secret::new("k".repeat(32)));
    let dir = DataDir::open(&config).unwrap();
    assert!(dir.vault().is_ok() && !dir.key_file().exists());
}

#[test]
fn a_file_in_the_way_is_an_error_that_names_the_setting() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("data"), "").unwrap();
    let error = DataDir::open(&config(parent.path().join("data"))).unwrap_err();
    assert!(error.to_string().contains("choose another one with --data"));
}
