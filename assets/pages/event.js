// One event: its payload as it was posted, and where it went.
import { html, useMemo, useState } from "../ui.js";
import { get, request } from "../api.js";
import { ERRORS, TRIGGERS, plural } from "../format.js";
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
import { CopyButton } from "../components/text.js";
import { Due, Time } from "../components/time.js";
import { payloadOf } from "./events/raw.js";
import { Replay } from "./events/replay.js";

const loadSend = () => import("./events/send.js");

/** The answer's text is kept beside its fields: the payload's own bytes are in it. */
async function read(id, signal) {
  const text = await (await request("GET", `v1/events/${encodeURIComponent(id)}`, { signal, raw: true })).text();
  const { data } = JSON.parse(text);
  return { id: data.id, ...data.attributes, payload: payloadOf(text) };
}

export default function Event({ params: { id } }) {
  const event = useLoad((signal) => read(id, signal), [id]);
  const webhooks = useLoad(async (signal) => (await get("v1/webhooks", { per_page: 200 }, { signal })).data);
  const e = event.data;
  const soon = e?.attempts.some((a) => a.status === "pending" && Date.parse(a.due_at) - Date.now() < 5000);
  useEvery(soon ? 2000 : 15_000, event.reload, Boolean(e) && e.attempts.some((a) => a.status === "pending"));
  const [dialog, setDialog] = useState(null);

  const back = html`<a class="back" href=${href("events")}><${Icon} name="left" size=${14} />Events</a>`;
  if (!e) {
    return html`<${Page} title="Event" back=${back}>${
      !event.error
        ? html`<${Card}><${Skeleton} lines=${8} /><//>`
        : event.error.status === 404
          ? html`<${EmptyState} icon="events" title="There is no such event" text="It belongs to another app, or retention has removed it."><a class="button" href=${href("events")}>All events</a><//>`
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
    html`<button type="button" class="button" onClick=${() => setDialog({ send: true })}>Send another like it</button>
    <button type="button" class="button primary" disabled=${e.payload === null} onClick=${() => setDialog({ to: "" })}><${Icon} name="redo" />Replay</button>`;
  return html`<${Page} title=${e.event_type} back=${back} actions=${actions} intro=${html`<code class="anywhere">${e.id}</code> <${CopyButton} text=${e.id} label="Copy" what="Copy id" />`}>
    <${Card}><${Facts} items=${[
      ["Posted", html`<${Time} at=${e.created_at} />`],
      e.resource_id && ["Resource", e.resource_id],
      ["Goes to", e.deliveries ? plural(e.deliveries, "webhook") : "No webhook"],
    ]} /><//>
    <div class="columns">
      <div class="column"><${Card} title="Payload">${e.payload === null ? html`<${Note}>Retention has removed the payload. What was sent may still be in the delivery log.<//>` : html`<${JsonView} text=${e.payload} label="Payload" />`}<//></div>
      <div class="column"><${Where} attempts=${e.attempts} webhooks=${webhooks.data} onReplay=${may("admin") && e.payload !== null ? (to) => setDialog({ to }) : null} /></div></div>
    ${dialog?.to !== undefined && html`<${Replay} id=${id} type=${e.event_type} webhooks=${webhooks.data} to=${dialog.to} onClose=${() => setDialog(null)} onStarted=${started} />`}
    ${dialog?.send && html`<${Lazy} load=${loadSend} initial=${{ event_type: e.event_type, payload: e.payload ?? "{}", resource_id: e.resource_id ?? "" }} onClose=${() => setDialog(null)} />`}
  <//>`;
}

/** Attempts by webhook, in the order in which they were made. */
function Where({ attempts, webhooks, onReplay }) {
  const groups = useMemo(() => {
    const found = new Map();
    for (const a of attempts) found.set(a.endpoint_id, [...(found.get(a.endpoint_id) ?? []), a]);
    return [...found];
  }, [attempts]);
  const of = (id) => webhooks?.find((w) => w.id === id);
  return html`<${Card} title="Where it went" flush>
    ${
      !groups.length
        ? html`<${EmptyState} icon="webhooks" title="No webhook wanted it" text="No active webhook had a pattern for this type when it was posted, or retention has removed the attempts."><a class="button" href=${href("webhooks")}>Webhooks</a><//>`
        : groups.map(([id, list]) => {
            const w = of(id);
            const newest = list.reduce((a, b) => (b.id > a.id ? b : a));
            return html`<section class="went" key=${id} aria-label=${w?.attributes.name ?? "A deleted webhook"}>
          <header><div class="went-name">${w ? html`<a class="cut strong" href=${href(`webhooks/${id}`)}>${w.attributes.name || w.attributes.url}</a>` : html`<span class="muted">${webhooks ? "A deleted webhook" : "Webhook"}</span>`}</div>
            <${StatusBadge} status=${newest.status} />
            ${onReplay && w && w.attributes.status !== "disabled" && html`<button type="button" class="button quiet small icon-only" title="Replay to this webhook" aria-label="Replay to ${w.attributes.name || w.attributes.url}" onClick=${() => onReplay(id)}><${Icon} name="redo" size=${15} /></button>`}</header>
          <ul class="timeline bare">${list.map(
            (
              a,
            ) => html`<li key=${a.id}><a href=${href(`webhook-deliveries/${a.id}`)}><span class="num">${a.attempt}</span><${StatusBadge} status=${a.status} quiet />
            <span class="timeline-what"><${Code} status=${a.response_status} kind=${a.error_kind ? (ERRORS[a.error_kind]?.[0] ?? a.error_kind) : null} /></span><span class="muted timeline-cause">${TRIGGERS[a.trigger] ?? a.trigger}</span>
            <span class="muted timeline-time">${a.attempted_at ? html`<${Time} at=${a.attempted_at} />` : a.due_at ? html`due <${Due} at=${a.due_at} />` : "not sent"}</span></a></li>`,
          )}</ul></section>`;
          })
    }<//>`;
}
