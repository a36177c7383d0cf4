//! The latest deliveries of an endpoint.

use super::*;
use postrider::domain::attempts::delivery::{DeliveryState, RecentDelivery};

async fn recent(world: &World, endpoint: EndpointId, limit: u32) -> Vec<RecentDelivery> {
    world.store.delivery_recent(world.app, endpoint, limit).await.unwrap()
}

#[tokio::test]
async fn deliveries_come_newest_first_whatever_their_retries() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    let second = world.post_one("b").await;
    world.finish(second, answered(200, now())).await;
    let retry = world.fail(first).await;
    world.finish(retry, answered(204, now().plus_ms(60_000))).await;

    let found = recent(&world, endpoint, 10).await;
    let seen: Vec<_> =
        found.iter().map(|d| (d.event_type.as_str(), d.state, d.response_status, d.retries)).collect();
    assert_eq!(
        seen,
        [("b", DeliveryState::Delivered, Some(200), 0), ("a", DeliveryState::Delivered, Some(204), 1)]
    );
    assert_eq!(recent(&world, endpoint, 1).await.len(), 1);
}

#[tokio::test]
async fn one_that_waits_for_a_retry_tells_of_its_last_attempt() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    let fresh_one = &recent(&world, endpoint, 1).await[0];
    assert_eq!(
        (fresh_one.state, fresh_one.attempted_at, fresh_one.retries),
        (DeliveryState::Pending, None, 0)
    );

    let second = world.fail(first).await;
    let waiting = &recent(&world, endpoint, 1).await[0];
    assert_eq!((waiting.state, waiting.response_status), (DeliveryState::Pending, Some(500)));
    assert_eq!((waiting.error_message.as_deref(), waiting.retries), (Some("HTTP 500"), 0));

    let third = world.fail(second).await;
    world.finish(third, answered(500, now())).await;
    let over = &recent(&world, endpoint, 1).await[0];
    assert_eq!((over.state, over.response_status, over.retries), (DeliveryState::Failed, Some(500), 2));
    assert!(over.attempted_at.is_some());
}

#[tokio::test]
async fn tests_and_other_apps_are_left_out() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let test = TestDelivery {
        endpoint_id: endpoint,
        event_id: EventId::at(now()),
        event_type: event_type("webhook.test"),
        payload: "{}".into(),
        created_at: now(),
        outcome: answered(200, now()),
    };
    world.store.test_record(world.app, test).await.unwrap();
    assert_eq!(recent(&world, endpoint, 10).await, []);
    world.post_one("a").await;
    let other = world.add_app("other").await;
    assert_eq!(world.store.delivery_recent(other, endpoint, 10).await.unwrap(), []);
    assert_eq!(recent(&world, endpoint, 10).await.len(), 1);
}
