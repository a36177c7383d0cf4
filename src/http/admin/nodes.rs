//! How nodes are shown: in the overview as the contract has them, on the page *About* with their state as well.

use poem_openapi::Object;

use crate::service::nodes::{Node, NodeList};

/// A node of the server.
#[derive(Object)]
pub(super) struct NodeObject {
    /// `cluster.node`, or the name of its host.
    name: String,
    version: String,
    /// When its process started: RFC 3339, UTC.
    since: String,
    /// Shards of the webhooks that it sends to, of 256.
    shards: u32,
    /// Requests that are being made.
    in_flight: u64,
    /// When it last renewed its lease: RFC 3339, UTC.
    last_seen_at: String,
    /// Whether it does what is done once for all nodes: retention, bulk jobs, alerts.
    leader: bool,
    /// Whether notifications of other nodes reach it; if not, it polls the database every 250 ms.
    listening: bool,
}

impl NodeObject {
    fn of(node: Node) -> NodeObject {
        NodeObject {
            name: node.name,
            version: node.version,
            since: node.since.to_string(),
            shards: node.shards,
            in_flight: node.in_flight,
            last_seen_at: node.last_seen_at.to_string(),
            leader: node.is_leader,
            listening: node.is_listening,
        }
    }

    pub(super) fn all(nodes: Vec<Node>) -> Vec<NodeObject> {
        nodes.into_iter().map(NodeObject::of).collect()
    }
}

/// The nodes that share the storage.
#[derive(Object)]
pub(super) struct ClusterObject {
    /// By name; a node that is gone is listed for an hour.
    nodes: Vec<NodeStateObject>,
    /// Whether live nodes have different configurations.
    configurations_differ: bool,
}

/// A node and whether it lives.
#[derive(Object)]
pub(super) struct NodeStateObject {
    #[oai(flatten)]
    node: NodeObject,
    /// `live`; `stopping`: it gives its shards to others; `late`: it has not renewed for half its lease; `gone`: for
    /// its whole lease.
    state: String,
}

impl ClusterObject {
    pub(super) fn of(list: NodeList) -> ClusterObject {
        let shown = |node: Node| {
            let state = node.state.as_str().to_owned();
            NodeStateObject { state, node: NodeObject::of(node) }
        };
        ClusterObject {
            nodes: list.nodes.into_iter().map(shown).collect(),
            configurations_differ: list.configurations_differ,
        }
    }
}
