//! Trouble of this machine, which counts against no receiver.

use super::*;

const TRY_AGAIN: &str = "failed to lookup address information: Temporary failure in name resolution";

/// A resolver that only knows `good.example`.
fn only_good() -> Option<Arc<dyn Lookup>> {
    let lookup = |host: &str| -> io::Result<Vec<IpAddr>> {
        if host == "good.example" {
            Ok(vec![[127, 0, 0, 1].into()])
        } else {
            Err(io::Error::other(TRY_AGAIN))
        }
    };
    Some(Arc::new(lookup))
}

#[tokio::test]
async fn a_resolver_that_says_try_again_is_local_unless_another_name_works() {
    let bench = Setup { lookup: only_good(), ..Setup::default() }.bench();
    let outcome = bench.send_to("http://down.example/").await;
    assert_failed(&outcome, ErrorKind::Local, "the name down.example does not resolve at the moment");
    assert_eq!((outcome.response_time_ms, &outcome.response), (None, &None));
    let receiver = crate::support::Receiver::start().await;
    assert_delivered(&bench.send_to(&receiver.url_as("good.example", "/")).await);
    assert_failed(&bench.send_to("http://down.example/").await, ErrorKind::Dns, "down.example");
}

#[tokio::test]
async fn a_silent_resolver_is_local_unless_another_name_works() {
    struct Silent;
    impl Lookup for Silent {
        fn lookup(
            &self,
            host: &str,
        ) -> futures_util::future::BoxFuture<'static, io::Result<Vec<std::net::SocketAddr>>> {
            match host {
                "good.example" => Box::pin(std::future::ready(Ok(vec![([127, 0, 0, 1], 0).into()]))),
                _ => Box::pin(std::future::pending()),
            }
        }
    }
    let lookup: Option<Arc<dyn Lookup>> = Some(Arc::new(Silent));
    let bench = Setup { connect_timeout: "100ms", lookup, ..Setup::default() }.bench();
    let slow = "the name in slow.example did not resolve within 100ms";
    assert_failed(&bench.send_to("http://slow.example/").await, ErrorKind::Local, slow);
    let receiver = crate::support::Receiver::start().await;
    assert_delivered(&bench.send_to(&receiver.url_as("good.example", "/")).await);
    assert_failed(&bench.send_to("http://slow.example/").await, ErrorKind::Timeout, slow);
}
