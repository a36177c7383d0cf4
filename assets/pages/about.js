// The server: version, storage, network policy, delivery settings.
import { html } from "../ui.js";
import { get } from "../api.js";
import { bytes, number, plural, span } from "../format.js";
import { now } from "../state.js";
import { Icon } from "../components/icon.js";
import { useEvery, useLoad } from "../components/load.js";
import { Card, Facts, Page } from "../components/page.js";
import { ErrorState, Note, Skeleton } from "../components/states.js";
import { Time } from "../components/time.js";
import { LogLevel } from "./about/log-level.js";
import { Nodes, OnlyNode, isCluster } from "./about/nodes.js";
import { ScheduleWords } from "./webhooks/schedule.js";

const num = (text) => html`<span class="num">${text}</span>`;
/** A node that is gone should be seen before somebody asks. */
const NODES_EVERY = 2000;
const ENGINES = { sqlite: "SQLite", postgresql: "PostgreSQL" };
const limit = (n, unit) => num(n ? `${number(n)} ${unit}` : "No limit");

export default function About() {
  const load = useLoad((signal) => get("admin/api/about", {}, { signal }));
  const a = load.data;
  useEvery(NODES_EVERY, load.reload, a?.storage.kind === "postgresql");
  if (!a)
    return html`<${Page} title="About">${load.error ? html`<${ErrorState} error=${load.error} retry=${load.reload} />` : html`<${Card}><${Skeleton} lines=${8} /><//>`}<//>`;
  const { storage, cluster, network, delivery, limits } = a;
  const onServer = storage.kind === "postgresql";
  return html`<${Page} title="About">
    ${load.error && html`<${Note} tone="bad"><strong>What is below may be out of date:</strong> the server does not answer now. ${load.error.message}<//>`}
    <${Card} title="Postrider ${a.version}" actions=${html`<div class="page-actions"><a class="button small" href=${a.links.docs} target="_blank">API documentation<${Icon} name="external" size=${12} /></a><a class="button small" href=${a.links.openapi} target="_blank">OpenAPI<${Icon} name="external" size=${12} /></a><a class="button small" href=${a.links.health} target="_blank">Health check<${Icon} name="external" size=${12} /></a></div>`}>
      <${Facts} items=${[
        // Of several nodes the table tells it; each of them may answer here.
        !isCluster(cluster) && ["Started", html`<${Time} at=${a.started_at} />`],
        !isCluster(cluster) && ["Uptime", num(span(now.value - Date.parse(a.started_at)))],
        ["Public URL", html`<code>${a.public_url}</code>`],
        !onServer && ["Data directory", html`<code>${a.data_dir}</code>`],
        !isCluster(cluster) && ["Node", html`<${OnlyNode} node=${cluster.nodes[0]} />`],
      ]} /><//>
    ${isCluster(cluster) && html`<${Nodes} cluster=${cluster} />`}
    <div class="columns"><div class="column">
      <${Card} title="Storage"><${Facts} items=${[
        ["Engine", html`<span title=${storage.version}>${ENGINES[storage.kind] ?? storage.kind} ${storage.version.split(" ")[0]}</span>`],
        ["Database", num(bytes(storage.database_bytes))],
        !onServer && ["Write-ahead log", num(bytes(storage.wal_bytes))],
        ["Attempts kept for", keeps(a.retention?.logs)],
        ["Events kept for", keeps(a.retention?.events)],
      ]} /><//>
      <${Card} title="Network policy"><div class="stack"><p>Requests go only to public addresses. Private, loopback, link-local and metadata addresses are blocked before each connection.</p>
        ${network.allow.length ? html`<div><p class="label">Allowed private addresses (<code>network.allow</code>)</p><span class="chips">${network.allow.map((c) => html`<span class="chip mono" key=${c}>${c}</span>`)}</span></div>` : html`<p class="muted">No private addresses are allowed. Add them to <code>network.allow</code> in the configuration.</p>`}</div><//>
      <${Card} title="Limits"><${Facts} items=${[
        ["Requests", limit(limits.requests_per_minute, "per minute")],
        ["Events", limit(limits.events_per_second, "per second")],
        ["Event size", num(bytes(limits.event_size))],
      ]} /><//>
      <${LogLevel} />
    </div><div class="column">
      <${Card} title="Delivery"><${Facts} items=${[
        ["Retries", html`<${ScheduleWords} waits=${delivery.retry_schedule} />`],
        ["Jitter", num(`up to ${Math.round(delivery.jitter * 100)} % later`)],
        ["Timeout", num(delivery.timeout)],
        ["Connect timeout", num(delivery.connect_timeout)],
        ["Concurrency", num(number(delivery.concurrency))],
        ["Concurrency per webhook", num(number(delivery.endpoint_concurrency))],
        [
          "Webhooks are disabled after",
          delivery.disable_after_failures
            ? num(plural(delivery.disable_after_failures, "consecutive failure"))
            : "Never",
        ],
        ["Response body kept", num(bytes(delivery.response_body_limit))],
      ]} /><//>
      <${Card} title="Signatures"><div class="stack"><p>Every request is signed as in Standard Webhooks (<code>webhook-id</code>, <code>webhook-timestamp</code>, <code>webhook-signature</code>)${a.signing_headers.length ? ", and with a plain HMAC of the body in these headers:" : "."}</p>
        ${a.signing_headers.length > 0 && html`<span class="chips">${a.signing_headers.map((h) => html`<span class="chip mono" key=${h}>${h}</span>`)}</span>`}</div><//>
    </div></div><//>`;
}

const keeps = (value) => (!value ? "–" : /^0/.test(value) ? "Forever" : num(value));
