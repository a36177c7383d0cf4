//! The list of nodes: what their rows say, who holds what, and what is too old.

use postrider::store::location::{Location, Purpose};
use uuid::Uuid;

use super::*;
use crate::support::postgres::{Database, is_wanted};

#[tokio::test]
async fn where_one_node_can_use_the_storage_there_is_no_list() {
    // A server with PostgreSQL is in the list itself.
    if is_wanted() {
        return;
    }
    let world = fresh().await;
    assert_eq!(world.store.nodes(now()).await.unwrap(), []);
}

#[tokio::test]
async fn nodes_are_listed_with_their_shards_until_an_hour_after_they_are_gone() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let store = Location::Server(database.server()).open(Purpose::Command, now()).unwrap();
    let (ms, hour) = (now().as_millis(), 3_600_000);
    let node = |name: &str, ago: i64, listening: bool| {
        format!(
            "INSERT INTO nodes (id, name, run_id, machine, boot, version, lease_ms, since, renewed_at, in_flight, \
             is_listening, is_leaving, configuration) VALUES ((SELECT count(*) FROM nodes) + 1, '{name}', gen_random_uuid(), 'm', 'b', '1.2.3', 10000, {}, {}, 7, \
             {listening}, NOT {listening}, 'x');",
            ms - 2 * hour,
            ms - ago
        )
    };
    let rows = [node("c", 0, true), node("a", 12_000, false), node("old", hour, true)].concat();
    let held = "UPDATE shards SET holder = (SELECT id FROM nodes WHERE name = 'c') WHERE shard < 200;
        UPDATE shards SET holder = (SELECT id FROM nodes WHERE name = 'a') WHERE shard >= 250;
        INSERT INTO leaders (work, epoch, holder, renewal)
            SELECT 'test', 1, id, 0 FROM nodes WHERE name = 'c';";
    database.run(&format!("{rows} {held}"));
    let found = store.nodes(now()).await.unwrap();
    let listed = |name: &str, ago: i64, shards, leads| ListedNode {
        name: name.to_owned(),
        version: "1.2.3".to_owned(),
        since: now().plus_ms(-2 * hour),
        shards,
        in_flight: 7,
        last_seen_at: now().plus_ms(-ago),
        lease_ms: 10_000,
        is_leader: leads,
        is_leaving: !leads,
        is_listening: leads,
        configuration: "x".to_owned(),
    };
    assert_eq!(found, [listed("a", 12_000, 6, false), listed("c", 0, 200, true)]);
    store.close().await;
}

fn card(name: &str) -> NodeCard {
    NodeCard {
        id: NodeId::from_random(Uuid::new_v4().as_u128()),
        run_id: Uuid::new_v4(),
        base_name: name.to_owned(),
        machine: "machine".to_owned(),
        boot: "boot".to_owned(),
        process: name.to_owned(),
        version: "1.2.3".to_owned(),
        lease_ms: 10_000,
    }
}

/// A node that registers under this name and says so much of itself.
async fn register(leases: &dyn NodeStore, name: &str, is_leaving: bool) -> Seen {
    let card = card(name);
    let id = card.id;
    leases.node_register(card).await.unwrap();
    let news = NodeNews { name: name.to_owned(), is_leaving, ..NodeNews::default() };
    let renewed = leases.node_renew(id, news).await.unwrap().unwrap();
    Seen { id, renewal: renewed.renewal }
}

#[tokio::test]
async fn a_node_that_was_lost_stays_in_the_list_until_it_is_back_under_its_name() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let store = Location::Server(database.server()).open(Purpose::Server, now()).unwrap();
    let leases = store.leases().expect("nodes share a database");
    let lost = register(&*leases, "lost", false).await;
    let left = register(&*leases, "left", true).await;
    let time = leases.database_time().await.unwrap().now;
    leases.node_forget(lost).await.unwrap();
    leases.node_forget(left).await.unwrap();
    let listed = async |at| {
        let nodes = store.nodes(at).await.unwrap();
        nodes.into_iter().map(|node| (node.name.clone(), node.is_gone(at))).collect::<Vec<_>>()
    };
    assert_eq!(listed(time.plus_ms(20_000)).await, [("lost".to_owned(), true)]);
    assert_eq!(listed(time.plus_ms(3_700_000)).await, [], "an hour later");
    register(&*leases, "lost", false).await;
    assert_eq!(listed(time).await, [("lost".to_owned(), false)], "it is back");
    store.close().await;
}

#[tokio::test]
async fn no_server_that_was_just_started_registers_while_a_command_must_be_alone() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let location = Location::Server(database.server());
    let store = location.open(Purpose::Server, now()).unwrap();
    let leases = store.leases().expect("nodes share a database");
    // It has a runtime of its own, which begins and ends in a thread of its own.
    let alone = std::thread::spawn(move || location.keep_servers_out().unwrap()).join().unwrap();
    let refused = leases.node_register(card("late")).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    std::thread::spawn(move || drop(alone)).join().unwrap();
    register(&*leases, "late", false).await;
    store.close().await;
}

#[tokio::test]
async fn what_is_pending_is_counted_for_all_nodes() {
    let world = fresh().await;
    assert_eq!(world.store.pending_of_all().await.unwrap(), 0);
    for _ in 0..2 {
        world.add_endpoint(&["*"]).await;
    }
    let attempts = [world.post("a").await, world.post("b").await].concat();
    assert_eq!(world.store.pending_of_all().await.unwrap(), 4);
    world.finish(attempts[0], answered(200, now())).await;
    world.fail(attempts[1]).await;
    assert_eq!(world.store.pending_of_all().await.unwrap(), 3, "the retry is pending");
}
