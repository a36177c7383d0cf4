// What the server is: version, storage, what it may reach, how it delivers.
import { html } from "../ui.js";
import { get } from "../api.js";
import { bytes, number, span } from "../format.js";
import { now } from "../state.js";
import { Icon } from "../components/icon.js";
import { useLoad } from "../components/load.js";
import { Card, Facts, Page } from "../components/page.js";
import { ErrorState, Skeleton } from "../components/states.js";
import { Time } from "../components/time.js";
import { LogLevel } from "./about/log-level.js";
import { ScheduleWords } from "./webhooks/schedule.js";

const num = (text) => html`<span class="num">${text}</span>`;
const limit = (n, unit) => num(n ? `${number(n)} ${unit}` : "No limit");

export default function About() {
  const load = useLoad((signal) => get("admin/api/about", {}, { signal }));
  const a = load.data;
  if (!a)
    return html`<${Page} title="About">${load.error ? html`<${ErrorState} error=${load.error} retry=${load.reload} />` : html`<${Card}><${Skeleton} lines=${8} /><//>`}<//>`;
  const { storage, network, delivery, limits } = a;
  return html`<${Page} title="About">
    <${Card} title="Postrider ${a.version}" actions=${html`<div class="page-actions"><a class="button small" href=${a.links.docs} target="_blank">API documentation<${Icon} name="external" size=${12} /></a><a class="button small" href=${a.links.openapi} target="_blank">OpenAPI<${Icon} name="external" size=${12} /></a><a class="button small" href=${a.links.health} target="_blank">Health check<${Icon} name="external" size=${12} /></a></div>`}>
      <${Facts} items=${[
        ["Started", html`<${Time} at=${a.started_at} />`],
        ["Running for", num(span(now.value - Date.parse(a.started_at)))],
        ["Public URL", html`<code>${a.public_url}</code>`],
        ["Data directory", html`<code>${a.data_dir}</code>`],
      ]} /><//>
    <div class="columns"><div class="column">
      <${Card} title="Storage"><${Facts} items=${[
        ["Kind", storage.kind === "sqlite" ? `SQLite ${storage.version}` : `${storage.kind} ${storage.version}`],
        ["Database", num(bytes(storage.database_bytes))],
        ["Write-ahead log", num(bytes(storage.wal_bytes))],
        ["Attempts are kept", keeps(a.retention?.logs)],
        ["Events are kept", keeps(a.retention?.events)],
      ]} /><//>
      <${Card} title="Network policy"><div class="stack"><p>Requests go only to public addresses; private, loopback, link-local and metadata addresses are blocked, each time before a connection is made.</p>
        ${network.allow.length ? html`<div><p class="label">Allowed although private (<code>network.allow</code>)</p><span class="chips">${network.allow.map((c) => html`<span class="chip mono" key=${c}>${c}</span>`)}</span></div>` : html`<p class="muted">No private network is allowed. <code>network.allow</code> in the configuration names those that may be reached.</p>`}</div><//>
      <${Card} title="Limits"><${Facts} items=${[
        ["Requests", limit(limits.requests_per_minute, "a minute")],
        ["Events", limit(limits.events_per_second, "a second")],
        ["Size of an event", num(bytes(limits.event_size))],
      ]} /><//>
      <${LogLevel} />
    </div><div class="column">
      <${Card} title="Delivery"><${Facts} items=${[
        ["Retries", html`<${ScheduleWords} waits=${delivery.retry_schedule} />`],
        ["Jitter", num(`up to ${Math.round(delivery.jitter * 100)} % later`)],
        ["Timeout", num(delivery.timeout)],
        ["Connect timeout", num(delivery.connect_timeout)],
        ["In flight, at most", num(number(delivery.concurrency))],
        ["To one webhook", num(number(delivery.endpoint_concurrency))],
        [
          "Disables a webhook after",
          delivery.disable_after_failures
            ? num(`${number(delivery.disable_after_failures)} failures in a row`)
            : "Never",
        ],
        ["Kept of a response", num(bytes(delivery.response_body_limit))],
      ]} /><//>
      <${Card} title="Signatures"><div class="stack"><p>Every request is signed by Standard Webhooks (<code>webhook-id</code>, <code>webhook-timestamp</code>, <code>webhook-signature</code>)${a.signing_headers.length ? ", and with a plain HMAC of the body in:" : "."}</p>
        ${a.signing_headers.length > 0 && html`<span class="chips">${a.signing_headers.map((h) => html`<span class="chip mono" key=${h}>${h}</span>`)}</span>`}</div><//>
    </div></div><//>`;
}

const keeps = (value) => (!value ? "–" : /^0/.test(value) ? "For ever" : num(value));
