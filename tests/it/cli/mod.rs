//! The command line: the real program in a directory of its own, with an empty environment.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::programs::output_of;

mod app;
mod backup;
mod config;
mod database;
mod demo;
mod generate;
mod healthcheck;
mod key;
mod make_workbook;
mod migrate_storage;
mod user;
mod wrong_directory;

/// A directory in which the program runs.
pub(crate) struct Place {
    dir: TempDir,
}

/// The result of a run.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// One with an empty data directory.
    pub(crate) fn new() -> Place {
        let place = Place::empty();
        std::fs::create_dir(place.path().join("data")).unwrap();
        place
    }

    pub(crate) fn empty() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// Runs the program here; `command` is split at spaces.
    pub(crate) fn run(&self, command: &str) -> Ran {
        self.run_with(command, &[])
    }

    /// Runs the program here with something in its environment.
    pub(crate) fn run_with(&self, command: &str, environment: &[(&str, &str)]) -> Ran {
        let mut program = Command::new(env!("CARGO_BIN_EXE_postrider"));
        program.args(command.split_whitespace()).current_dir(self.path()).env_clear();
        program.envs(environment.iter().copied());
        Ran::from(output_of(program))
    }
}

impl Ran {
    /// Standard output of a successful run.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// Standard output of a successful run, as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// Standard error of a run that ended with this code and printed nothing else.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        self.stderr
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    let place = Place::new();
    assert_eq!(place.run("nonsense").code, 2);
    assert_eq!(place.run("key create").code, 2);
    assert_eq!(place.run("--help").code, 0);
    assert!(place.run("--version").ok().starts_with("postrider "));
}
