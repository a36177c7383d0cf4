// The nodes that share one database: who sends for how many shards, who leads, and what is wrong between them.
import { html } from "../../ui.js";
import { ago, number, plural } from "../../format.js";
import { now } from "../../state.js";
import { Badge } from "../../components/badge.js";
import { Card } from "../../components/page.js";
import { Note } from "../../components/states.js";
import { DataTable } from "../../components/table.js";
import { Time } from "../../components/time.js";

const isLive = (node) => node.state !== "gone";
/** "a", "a and b", "a, b and c". */
const list = (words) => (words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
const named = (nodes) => list(nodes.map((node) => node.name));

/** Whether there is more to say than the name of the only node. */
export const isCluster = (cluster) => cluster.nodes.length > 1;

/** For a single node: its name. */
export const OnlyNode = ({ node }) =>
  html`<span><code>${node.name}</code>${!node.listening && html` <${Badge} tone="warn" icon="alert" hint="It polls the database every 250 ms instead">No notifications<//>`}</span>`;

const COLUMNS = [
  {
    key: "name",
    title: "Node",
    card: "head",
    cell: (n) =>
      html`<span class="node-name"><span class="cut strong" title=${n.name}>${n.name}</span>${n.leader && html`<${Badge} tone="info" icon="check" hint="Runs retention, bulk jobs and alerts for all nodes">Leader<//>`}</span>`,
  },
  { key: "state", title: "State", width: "9.5rem", card: "aside", cell: (n) => html`<${State} node=${n} />` },
  {
    key: "shards",
    title: "Shards",
    num: true,
    width: "5.5rem",
    card: "line",
    cell: (n) => html`${number(n.shards)}<span class="card-word"> ${n.shards === 1 ? "shard" : "shards"}</span>`,
  },
  {
    key: "in_flight",
    title: "In flight",
    num: true,
    width: "6rem",
    card: "line",
    cell: (n) => html`${number(n.in_flight)}<span class="card-word"> in flight</span>`,
  },
  {
    key: "seen",
    title: "Last seen",
    width: "8rem",
    card: "line",
    cell: (n) => html`<span class="card-word">seen </span><${Time} at=${n.last_seen_at} />`,
  },
  {
    key: "since",
    title: "Started",
    width: "8rem",
    card: "hide",
    className: "col-opt",
    cell: (n) => html`<${Time} at=${n.since} />`,
  },
  {
    key: "version",
    title: "Version",
    width: "6rem",
    card: "line",
    cell: (n) => html`<span class="card-word">version </span>${n.version}`,
  },
];

function State({ node }) {
  if (!isLive(node)) return html`<${Badge} tone="bad" icon="alert" hint="It has not renewed its lease">Gone<//>`;
  if (node.state === "stopping")
    return html`<${Badge} tone="info" icon="clock" hint="It gives its webhooks to the other nodes, and serves requests for a few seconds more">Stopping<//>`;
  if (node.state === "late")
    return html`<${Badge} tone="warn" icon="clock" hint="It has not renewed its lease for a while: it is slow, or was just killed">Late<//>`;
  if (!node.listening)
    return html`<${Badge} tone="warn" icon="alert" hint="It polls the database every 250 ms instead">No notifications<//>`;
  return html`<${Badge} tone="ok" icon="check">Live<//>`;
}

/** One sentence for each thing that somebody should know; nothing while all is well. */
function Notes({ cluster }) {
  const live = cluster.nodes.filter(isLive);
  const gone = cluster.nodes.filter((node) => !isLive(node));
  const deaf = live.filter((node) => !node.listening);
  const versions = [...new Set(live.map((node) => node.version))].sort();
  const left = gone.reduce((sum, node) => sum + node.shards, 0);
  const many = deaf.length > 1;
  return html`${
    gone.length > 0 &&
    html`<${Note} tone=${left ? "bad" : "warn"}><strong>${named(gone)} ${gone.length > 1 ? "are" : "is"} gone</strong> (last seen ${list(gone.map((node) => ago(node.last_seen_at, now.value)))}). ${
      left
        ? `The other nodes are about to take over ${gone.length > 1 ? "their" : "its"} ${plural(left, "shard")}; deliveries to the webhooks in ${left === 1 ? "it" : "them"} are pending until then.`
        : "The other nodes send to all webhooks."
    }<//>`
  }${
    cluster.configurations_differ &&
    html`<${Note} tone="warn"><strong>The nodes have different configurations.</strong> Which settings apply depends on the node that takes a request or sends a delivery. Compare the output of <code>postrider config dump</code> on each node.<//>`
  }${
    deaf.length > 0 &&
    html`<${Note} tone="warn"><strong>Notifications do not reach ${named(deaf)}.</strong> ${many ? "They poll" : "It polls"} the database every 250 ms instead, so deliveries may start later by that. The likely cause is a connection pooler in transaction mode: set <code>storage.listen_url</code> to the address of the database server itself.<//>`
  }${
    versions.length > 1 &&
    html`<${Note} tone="info"><strong>The nodes run different versions</strong> (${list(versions)}), as during a rolling upgrade.<//>`
  }`;
}

export function Nodes({ cluster }) {
  const live = cluster.nodes.filter(isLive).length;
  return html`<${Card} title="Nodes" flush actions=${html`<span class="muted num">${live === cluster.nodes.length ? number(live) : `${number(live)} of ${number(cluster.nodes.length)}`} live</span>`}>
    <div class="node-notes"><${Notes} cluster=${cluster} /></div>
    <${DataTable} columns=${COLUMNS} rows=${cluster.nodes} keyOf=${(n) => `${n.name} ${n.since}`} caption="Nodes" /><//>`;
}
