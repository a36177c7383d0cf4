//! Whether a request may be begun is asked when its connection is there, and before its first byte.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use postrider::delivery::begin::Begin;
use postrider::delivery::courier::{InFlight, Transport};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::support::Receiver;

/// Somebody who is asked, and how often.
struct Asked {
    may: Arc<AtomicBool>,
    times: Arc<AtomicUsize>,
}

impl Asked {
    fn new(may: bool) -> Asked {
        Asked { may: Arc::new(AtomicBool::new(may)), times: Arc::default() }
    }

    fn flight(&self) -> InFlight {
        let (may, times) = (self.may.clone(), self.times.clone());
        InFlight::asking(Some(Begin::when(move || {
            times.fetch_add(1, Ordering::SeqCst);
            may.load(Ordering::SeqCst)
        })))
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_begun_sends_no_byte_although_its_connection_is_open() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (asked, job) = (Asked::new(false), bench.job(&url));
    let flight = asked.flight();
    let receiving = async {
        let mut received = Vec::new();
        listener.accept().await.unwrap().0.read_to_end(&mut received).await.unwrap();
        received
    };
    let (_, received) =
        in_time("the end", async { tokio::join!(Transport::send(&bench.sender, &job, &flight), receiving) })
            .await;
    assert_eq!(received, b"", "a connection, and nothing on it");
    assert!(flight.is_refused());
    assert_eq!(asked.times.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_is_used_again_asks_for_each_request() {
    let bench = Bench::new();
    let receiver = Receiver::start().await;
    let job = bench.job(&receiver.url("/"));
    let asked = Asked::new(true);
    let flight = asked.flight();
    let outcome = in_time("the first", Transport::send(&bench.sender, &job, &flight)).await;
    assert!(outcome.failure.is_none() && !flight.is_refused(), "{outcome:?}");
    asked.may.store(false, Ordering::SeqCst);
    let flight = asked.flight();
    in_time("the second", Transport::send(&bench.sender, &job, &flight)).await;
    assert!(flight.is_refused());
    asked.may.store(true, Ordering::SeqCst);
    let flight = asked.flight();
    let outcome = in_time("the third", Transport::send(&bench.sender, &job, &flight)).await;
    assert!(outcome.failure.is_none() && !flight.is_refused(), "{outcome:?}");
    assert_eq!(receiver.count(), 2, "the one in between never came");
    assert_eq!(asked.times.load(Ordering::SeqCst), 3);
}
