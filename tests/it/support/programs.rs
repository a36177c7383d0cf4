//! Programs of other languages, where they are on the machine: a test that needs one which is not says so
//! and ends.

use std::path::Path;
use std::process::{Command, Output};

use super::in_time;

/// Whether a program is here; says so when it is not.
pub(crate) fn is_here(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|paths| std::env::split_paths(&paths).any(|dir| dir.join(program).is_file()));
    if !found {
        eprintln!("skipped: there is no {program} on this machine");
    }
    found
}

/// Whether Python is here with this package; says so when it is not.
pub(crate) async fn has_python_with(package: &str) -> bool {
    let import = format!("import {package}");
    let found =
        is_here("python3") && run(Path::new("."), "python3", &["-c", &import], &[]).await.status.success();
    if !found {
        eprintln!("skipped: there is no python3 with the package {package} on this machine");
    }
    found
}

/// Runs a program in a directory, with these variables on top of the environment.
pub(crate) async fn run(dir: &Path, program: &str, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).envs(env.iter().copied());
    let running = tokio::task::spawn_blocking(move || command.output());
    in_time(program, running).await.expect("it does not panic").expect("the program starts")
}
