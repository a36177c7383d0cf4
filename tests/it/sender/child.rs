//! Sends from a process of its own, for what depends on the environment: trusted certificates and
//! proxies. The tests' own process must not change its environment, since tests run side by side.

use super::*;

/// Where the child is told what to send to.
const URL: &str = "POSTRIDER_TEST_URL";
const SAYS: &str = "the child says: ";

/// Sends to `url` from a process with `env` on top of this one's environment. Answers `delivered`, or
/// the kind of failure and its message.
pub(super) async fn send(url: &str, env: Vec<(&'static str, String)>) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "sender::child::the_child_sends", "--ignored", "--nocapture"]);
    command.envs(env).env(URL, url);
    let output = programs::ended(command).await;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = stdout.split_once(SAYS).and_then(|(_, rest)| rest.lines().next());
    said.unwrap_or_else(|| panic!("the child said nothing: {output:?}")).to_owned()
}

#[tokio::test]
#[ignore = "runs as a child of other tests"]
async fn the_child_sends() {
    let outcome = Bench::new().send_to(&std::env::var(URL).expect("the parent says where to")).await;
    match outcome.failure {
        None => println!("{SAYS}delivered"),
        Some(failure) => println!("{SAYS}{}: {}", failure.kind, failure.message),
    }
}
