//! Where requests may go.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::{Hostile, Receiver};

fn closed() -> Setup {
    Setup { allow: &[], ..Setup::default() }
}

#[tokio::test]
async fn by_default_loopback_is_blocked_and_no_packet_leaves() {
    let (bench, receiver) = (closed().bench(), Receiver::start().await);
    let port = receiver.addr().port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
    ] {
        let outcome = bench.send_to(&url).await;
        assert_failed(&outcome, ErrorKind::BlockedAddress, "network.allow");
        assert_eq!((outcome.response, outcome.response_time_ms), (None, None), "{url}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_message_says_what_to_add() {
    let outcome = closed().bench().send_to("http://127.0.0.1:9/").await;
    assert_failed(&outcome, ErrorKind::BlockedAddress, "add 127.0.0.1/32 to network.allow");
    let bench = Setup { lookup: always(&["10.0.0.5"]), ..closed() }.bench();
    let outcome = bench.send_to("http://internal.example/").await;
    assert_failed(
        &outcome,
        ErrorKind::BlockedAddress,
        "internal.example resolves to 10.0.0.5, which is a private",
    );
}

#[tokio::test]
async fn a_listed_address_is_reached_but_a_range_never_covers_metadata() {
    let receiver = Receiver::start().await;
    let exact = Setup { allow: &["127.0.0.1/32"], ..Setup::default() }.bench();
    assert_delivered(&exact.send_to(&receiver.url("/")).await);
    let wide = Setup { allow: &["0.0.0.0/0", "::/0"], ..Setup::default() }.bench();
    let outcome = wide.send_to("http://169.254.169.254/latest/meta-data").await;
    assert_failed(&outcome, ErrorKind::BlockedAddress, "exactly 169.254.169.254/32");
}

#[tokio::test]
async fn one_blocked_address_among_allowed_ones_rejects_the_name() {
    let receiver = Receiver::start().await;
    let bench = Setup { lookup: always(&["127.0.0.1", "10.0.0.1"]), ..Setup::default() }.bench();
    let outcome = bench.send_to(&receiver.url_as("mixed.example", "/")).await;
    assert_failed(&outcome, ErrorKind::BlockedAddress, "10.0.0.1");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_connection_goes_to_the_checked_address() {
    let receiver = Receiver::start().await;
    let bench = Setup { lookup: always(&["127.0.0.1"]), ..Setup::default() }.bench();
    assert_delivered(&bench.send_to(&receiver.url_as("hooks.example", "/")).await);
    let expected = format!("hooks.example:{}", receiver.addr().port());
    assert_eq!(receiver.next().await.header("host"), Some(expected.as_str()));
}

/// A lookup that answers with the allowed address `good` times, and then with a blocked one.
fn rebinding(good: usize) -> Option<Arc<dyn Lookup>> {
    let asked = AtomicUsize::new(0);
    let lookup = move |_: &str| -> io::Result<Vec<IpAddr>> {
        let blocked = asked.fetch_add(1, Ordering::SeqCst) >= good;
        Ok(vec![if blocked { [127, 0, 0, 2].into() } else { [127, 0, 0, 1].into() }])
    };
    Some(Arc::new(lookup))
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_connection_gains_nothing() {
    let receiver = Receiver::start().await;
    let bench = Setup { allow: &["127.0.0.1/32"], lookup: rebinding(1), ..Setup::default() }.bench();
    let outcome = bench.send_to(&receiver.url_as("rebinding.example", "/")).await;
    assert_failed(&outcome, ErrorKind::BlockedAddress, "rebinding.example resolves to 127.0.0.2");
    assert_eq!((outcome.response_time_ms, receiver.connections()), (None, 0));
}

#[tokio::test]
async fn a_name_is_checked_before_each_attempt_even_if_a_connection_is_open() {
    let receiver = Receiver::start().await;
    let bench = Setup { allow: &["127.0.0.1/32"], lookup: rebinding(2), ..Setup::default() }.bench();
    let url = receiver.url_as("rebinding.example", "/");
    assert_delivered(&bench.send_to(&url).await);
    assert_failed(&bench.send_to(&url).await, ErrorKind::BlockedAddress, "127.0.0.2");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let (receiver, proxy) = (Receiver::start().await, Hostile::silent().await);
    let at = format!("http://{}", proxy.addr());
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let mut env: Vec<(&str, String)> = names.iter().map(|name| (*name, at.clone())).collect();
    env.extend(["NO_PROXY", "no_proxy"].map(|name| (name, String::new())));
    assert_eq!(child::send(&receiver.url("/"), env).await, "delivered");
    assert_eq!((receiver.count(), proxy.connections()), (1, 0));
}
