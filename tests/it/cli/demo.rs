//! `postrider demo`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::Place;

#[test]
fn the_demo_shows_deliveries_and_a_retry_and_leaves_nothing_behind() {
    let place = Place::empty();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_postrider"))
        .env_clear()
        .env("TMPDIR", place.path())
        .current_dir(place.path())
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);

    let (mut arrivals, mut messages, mut dashboard) = (Vec::new(), Vec::new(), String::new());
    for line in lines.by_ref() {
        if line.contains(" attempt ") && line.contains(" response ") {
            assert!(line.contains("signature ok"), "{line}");
            arrivals.push(line);
        } else if line.contains(" shows ") && line.starts_with("  ") {
            messages.push(line);
        } else if line.contains("/admin/") {
            dashboard = line;
        } else if line.starts_with("Press Ctrl-C") {
            break;
        }
    }
    let about = |text: &str| arrivals.iter().filter(|l| l.contains(text)).count();
    assert_eq!(arrivals.len(), 7, "{arrivals:#?}");
    assert_eq!((about("payment.failed"), about("response 503"), about("response 200")), (2, 1, 6));
    assert_eq!((about("github.release.published"), about("github.workflow_run.completed")), (1, 1));
    // The chat shows both requests to the source, the phone only the failure.
    messages.sort();
    let [release, failure, phone] = &messages[..] else { panic!("{messages:#?}") };
    assert!(
        release.contains("ada/storefront: release published: 1.4.0 / Faster checkout / @everyone"),
        "{release}"
    );
    assert!(failure.contains("ada/storefront: workflow_run completed: Tests: failure"), "{failure}");
    assert!(release.contains("  chat ") && failure.contains("  chat ") && phone.contains("  phone "));
    assert!(phone.contains("Tests: failure"), "{phone}");

    assert!(dashboard.contains("sign in as demo@example.com with the password "), "{dashboard}");

    let signaled = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(signaled.success());
    assert!(demo.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "the temporary directory is gone");
}
