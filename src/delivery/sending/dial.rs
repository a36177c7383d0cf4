//! Connects to one of several addresses: one after the other, each next one early enough that an address without an
//! answer does not use up the time (RFC 8305, "happy eyeballs"). hyper's own connector does so for two families, not
//! for several addresses of one, and does not tell which address it tried last.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// How long an address is tried alone before the next one is tried, too.
const ALONE: Duration = Duration::from_millis(250);

/// The result of the first connection that opens, or the last error; `None` without an address. `connect` is called
/// when an address is tried. An error that `says_little` replaces no other.
pub(crate) async fn first_of<T, E, F: Future<Output = Result<T, E>>>(
    addresses: Vec<SocketAddr>,
    says_little: impl Fn(&E) -> bool,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> Option<Result<T, E>> {
    let mut left = alternating(addresses).into_iter().peekable();
    let mut trying = FuturesUnordered::new();
    let mut failed = None;
    loop {
        if let Some(address) = left.next() {
            trying.push(connect(address));
        }
        let ended = tokio::select! {
            ended = trying.next() => ended,
            () = sleep(ALONE), if left.peek().is_some() => continue,
        };
        match ended {
            Some(Ok(connection)) => return Some(Ok(connection)),
            Some(Err(error)) if failed.is_some() && says_little(&error) => {}
            Some(Err(error)) => failed = Some(error),
            None => return failed.map(Err),
        }
    }
}

/// The addresses with the families in turn, beginning with that of the first.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (like, unlike): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|one| one.is_ipv4() == first);
    let (mut like, mut unlike) = (like.into_iter(), unlike.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [like.next(), unlike.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::future::pending;

    use tokio::time::{Instant, timeout};

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const TWO: [&str; 2] = ["192.0.2.1:80", "192.0.2.2:80"];

    #[test]
    fn families_take_turns() {
        let all = addresses(&[
            "[2001:db8::1]:1",
            "[2001:db8::2]:1",
            "[2001:db8::3]:1",
            "192.0.2.1:1",
            "192.0.2.2:1",
        ]);
        let expected = [0, 3, 1, 4, 2].map(|i| all[i]);
        assert_eq!(alternating(all), expected);
        assert_eq!(alternating(vec![]), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_without_an_answer_does_not_use_up_the_time() {
        let (began, silent) = (Instant::now(), addresses(&TWO)[0]);
        let connected = first_of(
            addresses(&TWO),
            |()| false,
            |address| async move { if address == silent { pending().await } else { Ok::<_, ()>(address) } },
        );
        assert_eq!(connected.await, Some(Ok(addresses(&TWO)[1])));
        assert_eq!(began.elapsed(), ALONE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_connection_is_followed_at_once_and_the_last_error_counts() {
        let began = Instant::now();
        let failed =
            first_of(addresses(&TWO), |_| false, |address| async move { Err::<(), _>(address) }).await;
        assert_eq!(failed, Some(Err(addresses(&TWO)[1])));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(first_of(vec![], |_| false, |address| async move { Err::<(), _>(address) }).await, None);
        let second = addresses(&TWO)[1];
        let failed = first_of(
            addresses(&TWO),
            |error| *error == second,
            |address| async move { Err::<(), _>(address) },
        );
        assert_eq!(failed.await, Some(Err(addresses(&TWO)[0])), "the other says nothing of the receiver");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_address_tried_is_known_when_the_time_is_up() {
        let tried = RefCell::new(Vec::new());
        let connecting = first_of(
            addresses(&TWO),
            |()| false,
            |address| {
                tried.borrow_mut().push(address);
                pending::<Result<(), ()>>()
            },
        );
        assert!(timeout(Duration::from_millis(200), connecting).await.is_err());
        assert_eq!(*tried.borrow(), addresses(&TWO[..1]));
        tried.borrow_mut().clear();
        let connecting = first_of(
            addresses(&TWO),
            |()| false,
            |address| {
                tried.borrow_mut().push(address);
                pending::<Result<(), ()>>()
            },
        );
        assert!(timeout(Duration::from_secs(5), connecting).await.is_err());
        assert_eq!(*tried.borrow(), addresses(&TWO));
    }
}
