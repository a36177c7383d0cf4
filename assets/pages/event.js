// One event: its payload as it was posted, and its deliveries.
import { html, useMemo, useState } from "../ui.js";
import { request } from "../api.js";
import { ERRORS, TRIGGERS, number, plural } from "../format.js";
import { href } from "../router.js";
import { may } from "../state.js";
import { Code, StatusBadge } from "../components/badge.js";
import { Icon } from "../components/icon.js";
import { showJob } from "../components/job.js";
import { JsonView } from "../components/json.js";
import { Lazy } from "../components/lazy.js";
import { useEvery, useLoad } from "../components/load.js";
import { Card, Facts, Page } from "../components/page.js";
import { EmptyState, ErrorState, Note, Skeleton } from "../components/states.js";
import { Summary } from "../components/summary.js";
import { CopyButton } from "../components/text.js";
import { Time } from "../components/time.js";
import { DueUnless, usePaused } from "./deliveries/paused.js";
import { payloadOf } from "./events/raw.js";
import { Declined, SourceLink, useContext } from "./events/context.js";
import { Replay } from "./events/replay.js";

const loadSend = () => import("./events/send.js");

/** The payload is cut out of the response’s text, so that its own bytes are shown. */
async function read(id, signal) {
  const text = await (await request("GET", `v1/events/${encodeURIComponent(id)}`, { signal, raw: true })).text();
  const { data } = JSON.parse(text);
  return { id: data.id, ...data.attributes, payload: payloadOf(text) };
}

export default function Event({ params: { id } }) {
  const event = useLoad((signal) => read(id, signal), [id]);
  const e = event.data;
  const soon = e?.attempts.some((a) => a.status === "pending" && Date.parse(a.due_at) - Date.now() < 5000);
  useEvery(soon ? 2000 : 15_000, event.reload, Boolean(e) && e.attempts.some((a) => a.status === "pending"));
  const [dialog, setDialog] = useState(null);
  const context = useContext(e?.id);
  const { source, summary, declined } = context.data ?? {};

  const back = html`<a class="back" href=${href("events")}><${Icon} name="left" size=${14} />Events</a>`;
  if (!e) {
    return html`<${Page} title="Event" back=${back}>${
      !event.error
        ? html`<${Card}><${Skeleton} lines=${8} /><//>`
        : event.error.status === 404
          ? html`<${EmptyState} icon="events" title="Event not found" text="It belongs to another app, or retention has removed it."><a class="button" href=${href("events")}>All events</a><//>`
          : html`<${ErrorState} error=${event.error} retry=${event.reload} />`
    }<//>`;
  }
  const started = async (job) => {
    setDialog(null);
    await showJob(job.id, `Replaying to ${plural(job.attributes.matched, "webhook")}`);
    event.reload();
  };
  const actions =
    may("admin") &&
    html`<button type="button" class="button" onClick=${() => setDialog({ send: true })}>Edit and resend</button>
    <button type="button" class="button primary" disabled=${e.payload === null} onClick=${() => setDialog({ to: "" })}><${Icon} name="redo" />Replay</button>`;
  return html`<${Page} title=${e.event_type} back=${back} actions=${actions} intro=${html`<code class="anywhere">${e.id}</code> <${CopyButton} text=${e.id} label="Copy" what="Copy ID" />`}>
    <${Card}><${Facts} items=${[
      ["Posted", html`<${Time} at=${e.created_at} />`],
      e.resource_id && ["Resource", e.resource_id],
      source && ["Source", html`<${SourceLink} source=${source} at=${e.created_at} />`],
      ["Sent to", e.deliveries ? plural(e.deliveries, "webhook") : "No webhooks"],
      e.filtered > 0 && ["Declined by", html`<${Declined} filtered=${e.filtered} declined=${declined} />`],
    ]} /><//>
    <div class="columns">
      <div class="column">${source && summary && html`<${Card} title="Summary"><${Summary} summary=${summary} /><//>`}<${Card} title="Payload">${e.payload === null ? html`<${Note}>Retention has removed the payload. Requests may still be in the delivery log.<//>` : html`<${JsonView} text=${e.payload} label="Payload" />`}<//></div>
      <div class="column"><${Deliveries} attempts=${e.attempts} filtered=${e.filtered} onReplay=${may("admin") && e.payload !== null ? (to, name) => setDialog({ to, name }) : null} /></div></div>
    ${dialog?.to !== undefined && html`<${Replay} id=${id} type=${e.event_type} to=${dialog.to} name=${dialog.name} onClose=${() => setDialog(null)} onStarted=${started} />`}
    ${dialog?.send && html`<${Lazy} load=${loadSend} initial=${{ event_type: e.event_type, payload: e.payload ?? "{}", resource_id: e.resource_id ?? "" }} onClose=${() => setDialog(null)} />`}
  <//>`;
}

/** So many webhooks are listed at first: an event may go to thousands. */
const LISTED = 50;

/** Attempts by webhook, in the order in which the deliveries were created. The attempts tell the webhooks’ names. */
function Deliveries({ attempts, filtered, onReplay }) {
  const [listed, setListed] = useState(LISTED);
  const paused = usePaused(attempts.some((a) => a.status === "pending"));
  const groups = useMemo(() => {
    const found = new Map();
    for (const a of attempts) {
      if (found.has(a.endpoint_id)) found.get(a.endpoint_id).push(a);
      else found.set(a.endpoint_id, [a]);
    }
    return [...found];
  }, [attempts]);
  const more = groups.length - listed;
  return html`<${Card} title="Deliveries" flush>
    ${
      !groups.length
        ? html`<${EmptyState} icon="webhooks" title="No deliveries" text=${filtered ? "Webhooks subscribe to this type, but their filters declined the event." : "No active webhook subscribed to this type when it was posted, or retention has removed the attempts."}><a class="button" href=${href("webhooks")}>Webhooks</a><//>`
        : groups.slice(0, listed).map(([id, list]) => html`<${ToWebhook} key=${id} id=${id} attempts=${list} paused=${paused(id)} onReplay=${onReplay} />`)
    }
    ${more > 0 && html`<div class="pages"><span class="muted num">${number(listed)} of ${number(groups.length)} webhooks</span><button type="button" class="button small" onClick=${() => setListed(listed + 4 * LISTED)}>Show more</button></div>`}<//>`;
}

function ToWebhook({ id, attempts, paused, onReplay }) {
  const newest = attempts.reduce((a, b) => (b.id > a.id ? b : a));
  const name = newest.endpoint_name || newest.endpoint_url || "No name";
  // Retries by hand may be many; the newest say enough.
  const shown = attempts.slice(-20);
  return html`<section class="went" aria-label=${name}>
    <header><div class="went-name"><a class="cut strong" href=${href(`webhooks/${id}`)} title=${newest.endpoint_url}>${name}</a></div>
      <${StatusBadge} status=${newest.status} />
      ${onReplay && html`<button type="button" class="button quiet small icon-only" title="Replay to this webhook" aria-label="Replay to ${name}" onClick=${() => onReplay(id, name)}><${Icon} name="redo" size=${15} /></button>`}</header>
    <ul class="timeline bare">${
      shown.length < attempts.length &&
      html`<li class="muted timeline-more">${plural(attempts.length - shown.length, "earlier attempt")} not listed</li>`
    }${shown.map(
      (
        a,
      ) => html`<li key=${a.id}><a href=${href(`webhook-deliveries/${a.id}`)}><span class="num">${a.attempt}</span><${StatusBadge} status=${a.status} quiet />
      <span class="timeline-what"><${Code} status=${a.response_status} kind=${a.error_kind ? (ERRORS[a.error_kind]?.[0] ?? a.error_kind) : null} /></span><span class="muted timeline-cause">${TRIGGERS[a.trigger] ?? a.trigger}</span>
      <span class="muted timeline-time">${a.attempted_at ? html`<${Time} at=${a.attempted_at} />` : a.due_at ? html`<${DueUnless} at=${a.due_at} paused=${paused} />` : "not sent"}</span></a></li>`,
    )}</ul></section>`;
}
