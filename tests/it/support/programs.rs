//! Programs of other languages, where they are on the machine: a test that needs one which is not says so
//! and ends.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use super::HANGS_AFTER;

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
    ended(command).await
}

/// Runs a program to its end.
pub(crate) async fn ended(command: Command) -> Output {
    tokio::task::spawn_blocking(move || output_of(command)).await.expect("the program ends")
}

/// Runs a program to its end. One that does not end is killed and fails the test, which would wait for it otherwise.
pub(crate) fn output_of(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let id = child.id().to_string();
    let (sender, output) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match output.recv_timeout(HANGS_AFTER) {
        Ok(output) => output.expect("its output can be read"),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &id]).status();
            panic!("{command:?} did not end within {HANGS_AFTER:?}")
        }
    }
}
