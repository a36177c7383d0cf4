//! The nodes that share the work, as the dashboard shows them.

use std::collections::HashSet;
use std::sync::Arc;

use super::Result;
use crate::domain::Timestamp;
use crate::domain::shard::SHARDS;
use crate::host::clock::Clock;
use crate::service::Dispatch;
use crate::store::{ListedNode, NodeListStore};

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub version: String,
    /// When its process started.
    pub since: Timestamp,
    /// Shards of the endpoints that it sends to, of 256.
    pub shards: u32,
    /// Requests in flight.
    pub in_flight: u64,
    /// When it last renewed its lease.
    pub last_seen_at: Timestamp,
    pub state: NodeState,
    /// Whether it does what is done once for all nodes.
    pub is_leader: bool,
    /// Whether notifications reach it.
    pub is_listening: bool,
}

/// Whether a node lives, as far as its renewals tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    Live,
    /// It is about to stop, and gives its shards to others.
    Stopping,
    /// It has not renewed for half its lease, as a node that was just killed.
    Late,
    /// It has not renewed for its whole lease.
    Gone,
}

impl NodeState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeState::Live => "live",
            NodeState::Stopping => "stopping",
            NodeState::Late => "late",
            NodeState::Gone => "gone",
        }
    }

    fn of(listed: &ListedNode, now: Timestamp) -> NodeState {
        let silent_ms = now.as_millis() - listed.last_seen_at.as_millis();
        if listed.is_gone(now) {
            NodeState::Gone
        } else if listed.is_leaving {
            NodeState::Stopping
        } else if silent_ms > listed.lease_ms / 2 {
            NodeState::Late
        } else {
            NodeState::Live
        }
    }
}

impl Node {
    fn of(listed: ListedNode, now: Timestamp) -> Node {
        let state = NodeState::of(&listed, now);
        let is_gone = state == NodeState::Gone;
        Node {
            name: listed.name,
            version: listed.version,
            since: listed.since,
            shards: listed.shards,
            in_flight: listed.in_flight,
            last_seen_at: listed.last_seen_at,
            state,
            is_leader: listed.is_leader && !is_gone,
            is_listening: listed.is_listening && !is_gone,
        }
    }
}

/// All nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeList {
    /// By name.
    pub nodes: Vec<Node>,
    /// Whether the nodes that are there have different configurations.
    pub configurations_differ: bool,
}

/// What this node knows of itself.
#[derive(Debug, Clone)]
pub struct OwnNode {
    pub name: String,
    pub version: &'static str,
    pub started_at: Timestamp,
}

/// Lists the nodes.
pub struct Nodes {
    store: Arc<dyn NodeListStore>,
    clock: Arc<dyn Clock>,
    dispatch: Arc<dyn Dispatch>,
    own: OwnNode,
}

impl Nodes {
    /// Joins the parts.
    pub fn new(
        store: Arc<dyn NodeListStore>,
        clock: Arc<dyn Clock>,
        dispatch: Arc<dyn Dispatch>,
        own: OwnNode,
    ) -> Nodes {
        Nodes { store, clock, dispatch, own }
    }

    /// All of them; where storage knows of none, this one.
    pub async fn list(&self) -> Result<NodeList> {
        let now = self.clock.now();
        let listed = self.store.nodes(now).await?;
        if listed.is_empty() {
            return Ok(NodeList { nodes: vec![self.alone(now)], configurations_differ: false });
        }
        let live = listed.iter().filter(|node| !node.is_gone(now) && !node.configuration.is_empty());
        let configurations: HashSet<&str> = live.map(|node| node.configuration.as_str()).collect();
        let configurations_differ = configurations.len() > 1;
        let nodes = listed.into_iter().map(|node| Node::of(node, now)).collect();
        Ok(NodeList { nodes, configurations_differ })
    }

    /// This node, which does everything and tells itself.
    fn alone(&self, now: Timestamp) -> Node {
        Node {
            name: self.own.name.clone(),
            version: self.own.version.to_owned(),
            since: self.own.started_at,
            shards: u32::try_from(SHARDS).unwrap_or(u32::MAX),
            in_flight: self.dispatch.in_flight_of_all(),
            last_seen_at: now,
            state: NodeState::Live,
            is_leader: true,
            is_listening: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::domain::{AppId, AttemptId, EndpointId, Outcome};
    use crate::host::clock::FakeClock;
    use crate::store::{LoadedAttempt, StoreError};

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    struct Listed(Vec<ListedNode>);

    #[async_trait]
    impl NodeListStore for Listed {
        async fn nodes(&self, _: Timestamp) -> std::result::Result<Vec<ListedNode>, StoreError> {
            Ok(self.0.clone())
        }

        async fn pending_of_all(&self) -> std::result::Result<u64, StoreError> {
            Ok(0)
        }
    }

    struct Busy;

    #[async_trait]
    impl Dispatch for Busy {
        fn in_flight(&self, _: AppId) -> u64 {
            1
        }

        fn in_flight_of_all(&self) -> u64 {
            3
        }

        async fn sending_to(&self, _: EndpointId) -> Vec<AttemptId> {
            Vec::new()
        }

        async fn send_test(
            &self,
            _: LoadedAttempt,
            _: Timestamp,
        ) -> std::result::Result<Option<(AttemptId, Outcome)>, StoreError> {
            Ok(None)
        }
    }

    /// A node that was seen so many milliseconds ago.
    fn node(name: &str, ago_ms: i64, configuration: &str) -> ListedNode {
        ListedNode {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            since: Timestamp::from_millis(1),
            shards: 85,
            in_flight: 2,
            last_seen_at: now().plus_ms(-ago_ms),
            lease_ms: 10_000,
            is_leader: true,
            is_leaving: false,
            is_listening: true,
            configuration: configuration.to_owned(),
        }
    }

    async fn list(listed: Vec<ListedNode>) -> NodeList {
        let own =
            OwnNode { name: "here".to_owned(), version: "1.0.0", started_at: Timestamp::from_millis(7) };
        let clock = Arc::new(FakeClock::new(now()));
        Nodes::new(Arc::new(Listed(listed)), clock, Arc::new(Busy), own).list().await.unwrap()
    }

    #[tokio::test]
    async fn a_node_that_storage_knows_nothing_of_is_alone_and_does_everything() {
        let NodeList { nodes, configurations_differ } = list(vec![]).await;
        let alone = Node {
            name: "here".to_owned(),
            version: "1.0.0".to_owned(),
            since: Timestamp::from_millis(7),
            shards: 256,
            in_flight: 3,
            last_seen_at: now(),
            state: NodeState::Live,
            is_leader: true,
            is_listening: true,
        };
        assert_eq!((nodes, configurations_differ), (vec![alone], false));
    }

    #[tokio::test]
    async fn a_node_is_gone_once_its_lease_has_run_out_and_leads_no_longer() {
        for (ago_ms, state, is_well) in [
            (5_000, NodeState::Live, true),
            (5_001, NodeState::Late, true),
            (10_000, NodeState::Late, true),
            (10_001, NodeState::Gone, false),
        ] {
            let shown = list(vec![node("a", ago_ms, "x")]).await.nodes.remove(0);
            let told = (shown.state, shown.is_leader, shown.is_listening);
            assert_eq!(told, (state, is_well, is_well), "{ago_ms} ms ago");
        }
    }

    #[tokio::test]
    async fn a_node_that_stops_says_so_until_it_is_gone() {
        for (ago_ms, state) in
            [(0, NodeState::Stopping), (9_000, NodeState::Stopping), (10_001, NodeState::Gone)]
        {
            let shown =
                list(vec![ListedNode { is_leaving: true, ..node("a", ago_ms, "x") }]).await.nodes.remove(0);
            assert_eq!(shown.state, state, "{ago_ms} ms ago");
        }
    }

    #[tokio::test]
    async fn only_live_nodes_whose_configuration_is_known_are_compared() {
        for (second, differ) in [
            (node("b", 0, "y"), true),
            (node("b", 0, "x"), false),
            (node("b", 0, ""), false),
            (node("b", 11_000, "y"), false),
        ] {
            let listed = list(vec![node("a", 0, "x"), second.clone()]).await;
            assert_eq!(listed.configurations_differ, differ, "{second:?}");
        }
    }
}
