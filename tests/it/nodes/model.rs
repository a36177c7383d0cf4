//! Keepers and a store in memory, with crashes, pauses, cuts, answers that are lost and statements that come late, in
//! any order: nobody begins what is not its, nothing is sent by two nodes in one epoch, and nothing stays without an
//! owner.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use postrider::domain::shard::SHARDS;
use postrider::store::{
    ClusterView, DatabaseTime, HandedOver, KnownNode, KnownShard, NodeCard, NodeNews, Renewed, Result, Seen,
    StoreError, UNKNOWN,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// What a statement does.
#[derive(Debug, Clone)]
enum Doing {
    Register(NodeCard),
    Renew(NodeId, bool),
    Leave(NodeId),
    Forget(Seen),
    Take(Seen, Option<Seen>, Vec<(Shard, Epoch)>),
    HandOver(Seen, NodeId, (Shard, Epoch), Vec<(AttemptId, EndpointId)>),
    Keep(Seen, Vec<AttemptId>),
    ForgetFlights(Seen),
    Lead(Seen, Option<Seen>),
    GiveUpLead(NodeId),
}

/// The database.
struct Memory {
    nodes: BTreeMap<NodeId, KnownNode>,
    shards: Vec<KnownShard>,
    leader: Option<NodeId>,
    handed_over: BTreeMap<AttemptId, (HandedOver, Epoch)>,
    pending: BTreeSet<AttemptId>,
    /// Shards of which a result is being written.
    writing: Vec<Shard>,
    /// Statements whose node has given up on them, and which are done after all.
    late: Vec<Doing>,
    /// Nodes that were gone as these shards were taken from them, and those whose requests are to be sent again.
    lost: BTreeSet<(NodeId, Shard)>,
    lost_all: BTreeSet<NodeId>,
    registered: i64,
}

impl Memory {
    fn is_as(&self, seen: Seen) -> bool {
        self.nodes.get(&seen.id).map_or(UNKNOWN, |node| node.renewal) == seen.renewal
    }

    fn moves(&mut self, shard: Shard, epoch: Epoch, from: Option<NodeId>, to: NodeId) -> bool {
        let known = &mut self.shards[shard.index()];
        let is_as_seen = known.epoch == epoch && known.holder == from;
        if is_as_seen {
            *known = KnownShard { shard, epoch: epoch.next(), holder: Some(to) };
        }
        is_as_seen
    }

    /// Does it; `Err` when a lock was waited for in vain. Gives the shards that have moved.
    fn run(&mut self, doing: Doing) -> std::result::Result<Vec<(Shard, Epoch)>, ()> {
        let done = |done: bool| if done { vec![(Shard(0), Epoch::FIRST)] } else { vec![] };
        match doing {
            Doing::Register(card) => {
                self.registered += 1;
                let node = KnownNode {
                    id: card.id,
                    base_name: card.base_name,
                    machine: card.machine,
                    boot: card.boot,
                    process: card.process,
                    lease_ms: card.lease_ms,
                    renewal: 0,
                    since: Timestamp::from_millis(self.registered),
                    is_leaving: false,
                };
                self.nodes.entry(card.id).or_insert(node);
            }
            Doing::Renew(id, is_leaving) => {
                let Some(node) = self.nodes.get_mut(&id) else { return Ok(vec![]) };
                (node.renewal, node.is_leaving) = (node.renewal + 1, is_leaving);
                return Ok(done(true));
            }
            Doing::Leave(id) => {
                self.nodes.remove(&id);
                self.shards.iter_mut().filter(|s| s.holder == Some(id)).for_each(|s| s.holder = None);
                self.handed_over.retain(|_, (one, _)| one.node != id);
                self.leader = self.leader.filter(|leader| *leader != id);
            }
            Doing::Forget(seen) => {
                let holds = self.shards.iter().any(|known| known.holder == Some(seen.id));
                if self.is_as(seen) && !holds {
                    self.nodes.remove(&seen.id);
                    self.handed_over.retain(|_, (one, _)| one.node != seen.id);
                }
            }
            Doing::Take(by, from, shards) => {
                if shards.iter().any(|(shard, _)| self.writing.contains(shard)) {
                    return Err(());
                }
                if !self.is_as(by) || !from.is_none_or(|from| self.is_as(from)) {
                    return Ok(vec![]);
                }
                let from = from.map(|from| from.id);
                let mut taken = Vec::new();
                for (shard, epoch) in shards {
                    if self.moves(shard, epoch, from, by.id) {
                        taken.push((shard, epoch.next()));
                        self.lost.extend(from.map(|from| (from, shard)));
                    }
                }
                return Ok(taken);
            }
            Doing::HandOver(by, to, (shard, epoch), flights) => {
                if self.writing.contains(&shard) {
                    return Err(());
                }
                let may = self.is_as(by) && self.nodes.get(&to).is_some_and(|node| !node.is_leaving);
                if !may || !self.moves(shard, epoch, Some(by.id), to) {
                    return Ok(vec![]);
                }
                for (attempt, endpoint) in flights {
                    let one = HandedOver { attempt, endpoint, shard, node: by.id };
                    self.handed_over.entry(attempt).or_insert((one, epoch));
                }
                return Ok(done(true));
            }
            Doing::Keep(by, still) => {
                if self.is_as(by) {
                    self.handed_over.retain(|id, (one, _)| one.node != by.id || still.contains(id));
                }
            }
            Doing::ForgetFlights(seen) => {
                let may = self.is_as(seen);
                if may {
                    self.handed_over.retain(|_, (one, _)| one.node != seen.id);
                    self.lost_all.insert(seen.id);
                }
                return Ok(done(may));
            }
            Doing::Lead(by, from) => {
                let may = self.is_as(by)
                    && from.is_none_or(|from| self.is_as(from))
                    && self.leader == from.map(|from| from.id);
                if may {
                    self.leader = Some(by.id);
                }
                return Ok(done(may));
            }
            Doing::GiveUpLead(id) => self.leader = self.leader.filter(|leader| *leader != id),
        }
        Ok(vec![])
    }

    fn view(&self) -> ClusterView {
        ClusterView {
            shards: self.shards.clone(),
            nodes: self.nodes.values().cloned().collect(),
            leader: self.leader,
            handed_over: self.handed_over.values().map(|(one, _)| *one).collect(),
        }
    }
}

/// What goes wrong with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It never arrives.
    Cut,
    /// It is done, but nobody hears of it.
    Lost,
    /// It is done later.
    Late,
    /// The same, of statements that move shards alone.
    LateMove,
}

/// A node's way to the database.
struct Link {
    memory: Arc<Mutex<Memory>>,
    /// After so many statements.
    trouble: Arc<Mutex<Option<(u32, Trouble)>>>,
}

impl Link {
    fn away<T>() -> Result<T> {
        Err(StoreError::Overloaded)
    }

    fn trouble(&self) -> Option<Trouble> {
        let mut trouble = self.trouble.lock().unwrap();
        match &mut *trouble {
            Some((0, kind)) => Some(*kind),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        }
    }

    fn run(&self, doing: Doing) -> Result<Vec<(Shard, Epoch)>> {
        let is_move = matches!(doing, Doing::Take(..) | Doing::HandOver(..));
        let trouble = self.trouble().filter(|kind| *kind != Trouble::LateMove || is_move);
        let mut memory = self.memory.lock().unwrap();
        match trouble {
            Some(Trouble::Cut) => return Link::away(),
            Some(Trouble::Late | Trouble::LateMove) => {
                memory.late.push(doing);
                return Link::away();
            }
            Some(Trouble::Lost) | None => {}
        }
        let done = memory.run(doing);
        if trouble.is_some() { Link::away() } else { done.or_else(|()| Link::away()) }
    }
}

#[async_trait]
impl NodeStore for Link {
    async fn node_register(&self, card: NodeCard) -> Result<()> {
        self.run(Doing::Register(card)).map(|_| ())
    }

    async fn node_renew(&self, id: NodeId, news: NodeNews) -> Result<Option<Renewed>> {
        let is_known = !self.run(Doing::Renew(id, news.is_leaving))?.is_empty();
        let memory = self.memory.lock().unwrap();
        let node = memory.nodes.get(&id).filter(|_| is_known);
        Ok(node.map(|node| Renewed { renewal: node.renewal, view: memory.view() }))
    }

    async fn database_time(&self) -> Result<DatabaseTime> {
        Link::away()
    }

    async fn node_view(&self) -> Result<ClusterView> {
        let trouble = self.trouble().filter(|kind| *kind != Trouble::LateMove);
        if trouble.is_some() { Link::away() } else { Ok(self.memory.lock().unwrap().view()) }
    }

    async fn node_leave(&self, id: NodeId) -> Result<()> {
        self.run(Doing::Leave(id)).map(|_| ())
    }

    async fn node_forget(&self, gone: Seen) -> Result<()> {
        self.run(Doing::Forget(gone)).map(|_| ())
    }

    async fn shards_take(
        &self,
        by: Seen,
        from: Option<Seen>,
        shards: Vec<(Shard, Epoch)>,
    ) -> Result<Vec<(Shard, Epoch)>> {
        self.run(Doing::Take(by, from, shards))
    }

    async fn shard_hand_over(
        &self,
        by: Seen,
        to: NodeId,
        shard: (Shard, Epoch),
        in_flight: Vec<(AttemptId, EndpointId)>,
    ) -> Result<bool> {
        Ok(!self.run(Doing::HandOver(by, to, shard, in_flight))?.is_empty())
    }

    async fn handed_over_keep(&self, by: Seen, still: Vec<AttemptId>) -> Result<()> {
        self.run(Doing::Keep(by, still)).map(|_| ())
    }

    async fn handed_over_forget(&self, gone: Seen) -> Result<bool> {
        Ok(!self.run(Doing::ForgetFlights(gone))?.is_empty())
    }

    async fn leader_take(&self, by: Seen, from: Option<Seen>) -> Result<bool> {
        Ok(!self.run(Doing::Lead(by, from))?.is_empty())
    }

    async fn leader_give_up(&self, by: NodeId) -> Result<()> {
        self.run(Doing::GiveUpLead(by)).map(|_| ())
    }
}

const NODES: usize = 3;
const ATTEMPTS: i64 = 8;

/// An attempt goes to an endpoint of its own, among them those of the shards that each node gives first.
fn endpoint_of(attempt: AttemptId) -> EndpointId {
    const SHARDS: [u128; ATTEMPTS as usize] = [0, 1, 2, 86, 87, 171, 172, 250];
    let at = usize::try_from(attempt.0 - 1).unwrap();
    EndpointId::from_uuid(Uuid::from_u128(SHARDS[at]))
}

/// A running node, and what it has in flight: under which epoch.
struct Running {
    node: Node,
    trouble: Arc<Mutex<Option<(u32, Trouble)>>>,
    flights: BTreeMap<AttemptId, Epoch>,
}

struct Model {
    memory: Arc<Mutex<Memory>>,
    nodes: Vec<Running>,
    begun: BTreeSet<(AttemptId, Epoch)>,
    done: BTreeSet<AttemptId>,
    /// Results that are being written: by which node, and whether they count.
    writing: Vec<(usize, AttemptId, bool)>,
}

#[derive(Debug, Clone)]
enum Op {
    Step(usize),
    /// Time passes on all nodes, in which only these do anything.
    Advance(i64),
    Trouble(usize, u32, Trouble),
    Heal(usize),
    Crash(usize),
    Leave(usize),
    JumpOfClock(usize),
    /// So many half seconds pass in which all nodes but this one do their rounds; then it wants to send.
    Without(usize, u32),
    /// The same until just before the others take what it holds. They do, but the statement comes late: after it has
    /// renewed.
    LateTakeover(usize),
    /// It hands over what it holds, which comes late; meanwhile it wants to send.
    LateHandover(usize),
    Begin(usize, i64),
    /// A result's transaction begins; what comes between is whatever comes next.
    Write(usize, i64),
    Commit(bool),
    LateOnes,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let node = 0..NODES;
    let attempt = 1..=ATTEMPTS;
    let trouble = prop_oneof![Just(Trouble::Cut), Just(Trouble::Lost), Just(Trouble::Late)];
    let op = prop_oneof![
        12 => node.clone().prop_map(Op::Step),
        8 => (100i64..2_500).prop_map(Op::Advance),
        1 => (5_000i64..30_000).prop_map(Op::Advance),
        3 => (node.clone(), 0u32..6, trouble).prop_map(|(node, after, kind)| Op::Trouble(node, after, kind)),
        4 => node.clone().prop_map(Op::Heal),
        1 => node.clone().prop_map(Op::Crash),
        1 => node.clone().prop_map(Op::Leave),
        1 => node.clone().prop_map(Op::JumpOfClock),
        2 => (node.clone(), 5u32..30).prop_map(|(node, rounds)| Op::Without(node, rounds)),
        1 => node.clone().prop_map(Op::LateTakeover),
        1 => node.clone().prop_map(Op::LateHandover),
        10 => (node.clone(), attempt.clone()).prop_map(|(node, attempt)| Op::Begin(node, attempt)),
        6 => (node, attempt).prop_map(|(node, attempt)| Op::Write(node, attempt)),
        6 => any::<bool>().prop_map(Op::Commit),
        2 => Just(Op::LateOnes),
    ];
    proptest::collection::vec(op, 20..250)
}

impl Model {
    fn new() -> Model {
        let shard = |shard| KnownShard { shard, epoch: Epoch::FIRST, holder: None };
        let memory = Arc::new(Mutex::new(Memory {
            nodes: BTreeMap::new(),
            shards: Shard::all().map(shard).collect(),
            leader: None,
            handed_over: BTreeMap::new(),
            pending: (1..=ATTEMPTS).map(AttemptId).collect(),
            writing: Vec::new(),
            late: Vec::new(),
            lost: BTreeSet::new(),
            lost_all: BTreeSet::new(),
            registered: 0,
        }));
        let mut model = Model {
            memory,
            nodes: Vec::new(),
            begun: BTreeSet::new(),
            done: BTreeSet::new(),
            writing: Vec::new(),
        };
        for at in 0..NODES {
            let node = model.start(at);
            model.nodes.push(node);
        }
        model
    }

    fn start(&self, at: usize) -> Running {
        let trouble: Arc<Mutex<Option<(u32, Trouble)>>> = Arc::default();
        let link = Link { memory: self.memory.clone(), trouble: trouble.clone() };
        Running { node: Node::new(Arc::new(link), &format!("n{at}")), trouble, flights: BTreeMap::new() }
    }

    fn step(&mut self, at: usize) {
        let running = &mut self.nodes[at];
        let flights = running.flights.keys().map(|id| (*id, endpoint_of(*id))).collect();
        *running.node.in_flight.lock().unwrap() = flights;
        running.node.keeper.step().now_or_never().expect("nothing waits");
    }

    fn begin(&mut self, at: usize, id: AttemptId) {
        let in_flight: Vec<NodeId> = (self.nodes.iter().enumerate())
            .filter(|(other, running)| *other != at && running.flights.contains_key(&id))
            .map(|(_, running)| running.node.id())
            .collect();
        let running = &mut self.nodes[at];
        let endpoint = endpoint_of(id);
        let Some(epoch) = running.node.epoch(endpoint) else { return };
        let memory = self.memory.lock().unwrap();
        let is_claimed =
            running.flights.contains_key(&id) || running.node.ownership.elsewhere().contains_key(&id);
        if is_claimed || !memory.pending.contains(&id) {
            return;
        }
        let known = memory.shards[Shard::of(endpoint).index()];
        assert_eq!(
            (known.holder, known.epoch),
            (Some(running.node.id()), epoch),
            "node {at} begins {id} of another"
        );
        for other in in_flight {
            let is_lost = memory.lost.contains(&(other, known.shard)) || memory.lost_all.contains(&other);
            assert!(is_lost, "{id} is sent by {at}, and in flight at a node that lives");
        }
        let elsewhere = memory.handed_over.get(&id).map(|(one, _)| one.node);
        assert_eq!(elsewhere, None, "{id} is in flight elsewhere");
        assert!(self.begun.insert((id, epoch)), "{id} is sent twice in epoch {epoch}");
        running.flights.insert(id, epoch);
    }

    fn begin_all(&mut self, at: usize) {
        (1..=ATTEMPTS).for_each(|id| self.begin(at, AttemptId(id)));
    }

    /// Time passes, in which all nodes but this one do their rounds.
    fn rounds_without(&mut self, at: usize, rounds: u32) {
        for _ in 0..rounds {
            self.run(Op::Advance(500));
            (0..NODES).filter(|other| *other != at).for_each(|other| self.step(other));
        }
    }

    /// A result's transaction locks its shard, and sees whether it counts.
    fn write(&mut self, at: usize, id: AttemptId) {
        let is_being_written = self.writing.iter().any(|(_, known, _)| *known == id);
        let Some(epoch) = self.nodes[at].flights.get(&id).filter(|_| !is_being_written) else { return };
        let (own, shard) = (self.nodes[at].node.id(), Shard::of(endpoint_of(id)));
        let mut memory = self.memory.lock().unwrap();
        let known = memory.shards[shard.index()];
        let is_held = known.epoch == *epoch && known.holder.is_none_or(|holder| holder == own);
        let was_handed_over =
            memory.handed_over.get(&id).is_some_and(|(one, sent)| one.node == own && sent == epoch);
        let counts = (is_held || was_handed_over) && memory.pending.contains(&id);
        memory.writing.push(shard);
        self.writing.push((at, id, counts));
    }

    fn commit(&mut self, is_lost: bool) {
        if self.writing.is_empty() {
            return;
        }
        let (at, id, counts) = self.writing.remove(0);
        let mut memory = self.memory.lock().unwrap();
        let shard = Shard::of(endpoint_of(id));
        let writing = memory.writing.iter().position(|known| *known == shard).expect("it is being written");
        memory.writing.remove(writing);
        if counts {
            assert!(memory.pending.remove(&id) && self.done.insert(id), "{id} ends once");
            memory.handed_over.remove(&id);
        }
        // Without the answer it is written again, and then found to be no longer pending.
        if !is_lost {
            self.nodes[at].flights.remove(&id);
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Step(at) => self.step(at),
            Op::Advance(ms) => self.nodes.iter().for_each(|running| running.node.clock.advance_ms(ms)),
            Op::Trouble(at, after, kind) => *self.nodes[at].trouble.lock().unwrap() = Some((after, kind)),
            Op::Heal(at) => *self.nodes[at].trouble.lock().unwrap() = None,
            Op::Crash(at) => {
                let rolled_back: Vec<_> =
                    (self.writing.iter()).filter(|(by, ..)| *by == at).cloned().collect();
                self.writing.retain(|(by, ..)| *by != at);
                for (_, id, _) in rolled_back {
                    let shard = Shard::of(endpoint_of(id));
                    let mut memory = self.memory.lock().unwrap();
                    let at = memory.writing.iter().position(|known| *known == shard).expect("it was locked");
                    memory.writing.remove(at);
                }
                self.nodes[at] = self.start(at);
            }
            Op::Leave(at) => self.nodes[at].node.keeper.leave(),
            Op::JumpOfClock(at) => self.nodes[at].node.clock.set(Timestamp::from_millis(5)),
            Op::Without(at, rounds) => {
                self.rounds_without(at, rounds);
                self.begin_all(at);
            }
            Op::LateTakeover(at) => {
                self.step(at);
                self.rounds_without(at, 17);
                let others: Vec<usize> = (0..NODES).filter(|other| *other != at).collect();
                let late = |model: &mut Model, kind| {
                    others.iter().for_each(|other| *model.nodes[*other].trouble.lock().unwrap() = kind);
                };
                late(self, Some((0, Trouble::LateMove)));
                self.rounds_without(at, 2);
                late(self, None);
                self.step(at);
                self.run(Op::LateOnes);
                self.begin_all(at);
            }
            Op::LateHandover(at) => {
                self.step(at);
                *self.nodes[at].trouble.lock().unwrap() = Some((0, Trouble::LateMove));
                self.nodes[at].node.keeper.leave();
                self.step(at);
                // It does not hand over once more, because nobody hears of it.
                *self.nodes[at].trouble.lock().unwrap() = Some((1, Trouble::Cut));
                self.step(at);
                *self.nodes[at].trouble.lock().unwrap() = None;
                self.begin_all(at);
                self.run(Op::LateOnes);
                for other in (0..NODES).filter(|other| *other != at) {
                    self.step(other);
                    self.begin_all(other);
                }
            }
            Op::Begin(at, id) => self.begin(at, AttemptId(id)),
            Op::Write(at, id) => self.write(at, AttemptId(id)),
            Op::Commit(is_lost) => self.commit(is_lost),
            Op::LateOnes => {
                let mut memory = self.memory.lock().unwrap();
                for doing in std::mem::take(&mut memory.late) {
                    // Nobody hears of it either way.
                    memory.run(doing).ok();
                }
            }
        }
    }

    /// Everything works from now on: all shards find their owners, and all attempts end.
    fn recover(&mut self) {
        self.run(Op::LateOnes);
        for at in 0..NODES {
            self.run(Op::Heal(at));
        }
        while !self.writing.is_empty() {
            self.commit(false);
        }
        // One that has been told to leave goes; the last one does not.
        for at in 1..NODES {
            if self.nodes[at].node.keeper.has_left() {
                self.run(Op::Crash(at));
            }
        }
        self.run(Op::Crash(0));
        for _ in 0..150 {
            self.run(Op::Advance(500));
            for at in 0..NODES {
                self.step(at);
                for id in 1..=ATTEMPTS {
                    self.begin(at, AttemptId(id));
                    self.write(at, AttemptId(id));
                    self.commit(false);
                }
            }
        }
        let mut holders = [0; SHARDS];
        for running in &self.nodes {
            running.node.held().into_iter().for_each(|shard| holders[shard.index()] += 1);
        }
        assert!(holders.iter().all(|count| *count == 1), "each shard has one owner: {holders:?}");
        assert_eq!(self.done.len(), ATTEMPTS as usize, "every attempt has ended");
        assert_eq!(self.memory.lock().unwrap().handed_over.len(), 0, "nothing counts forever");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn nobody_sends_what_is_not_its_and_nothing_is_left_without_an_owner(ops in ops()) {
        let mut model = Model::new();
        for at in 0..NODES {
            model.step(at);
        }
        for op in ops {
            model.run(op);
        }
        model.recover();
    }
}
