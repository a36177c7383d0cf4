// One attempt in full: what went wrong first, then the response, all attempts of its delivery, and the request. Used by
// the panel and by the page.
import { cx, html, useEffect, useRef, useState } from "../../ui.js";
import { get } from "../../api.js";
import { ERRORS, TRIGGERS, duration } from "../../format.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { Code, StatusBadge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { Lazy } from "../../components/lazy.js";
import { useEvery, useLoad } from "../../components/load.js";
import { Facts } from "../../components/page.js";
import { ErrorState, Note, Skeleton } from "../../components/states.js";
import { CopyButton, MiddleEllipsis } from "../../components/text.js";
import { Due, Time } from "../../components/time.js";
import { SourceLink, useContext } from "../events/context.js";
import { Request, Response, curl } from "./exchange.js";
import { sentence } from "./outcome.js";
import { usePaused } from "./paused.js";
import { retryOne } from "./retry.js";
import { Timeline } from "./timeline.js";

const loadCompare = () => import("./compare.js");

const read = async (id, signal) =>
  (await get(`v1/webhooks/deliveries/${encodeURIComponent(id)}`, {}, { signal })).data;

/**
 * Loads an attempt, and reloads it every 2 seconds while an attempt of its delivery is due soon. `last` is the attempt
 * before a pending one: it says what is wrong. `paused` says why nothing is sent at present, if so.
 */
export function useDelivery(id) {
  const load = useLoad((signal) => read(id, signal), [id]);
  const a = load.data?.attributes;
  const soon = a?.attempts?.some((x) => x.status === "pending" && Date.parse(x.due_at) - Date.now() < 5000);
  useEvery(2000, load.reload, Boolean(soon));
  const paused = usePaused(Boolean(a?.attempts?.some((x) => x.status === "pending")));
  const before = a?.status === "pending" ? a.attempts.filter((x) => x.id !== load.data.id && x.attempted_at).at(-1)?.id : null;
  const last = useLoad((signal) => read(before, signal), [before], Boolean(before));
  return { ...load, last: before ? last.data : undefined, paused: a && paused(a.endpoint_id) };
}

/** `onShow(id)` is called to show another attempt; without it the timeline links to permalinks. */
export function DeliveryDetail({ load, onShow, onRetried, wide }) {
  const { data: row, error } = load;
  if (!row && error) {
    return error.status === 404
      ? html`<${ErrorState}
          title="Delivery not found"
          error=${{ message: "It belongs to another app, or retention has removed it." }}
        />`
      : html`<${ErrorState} error=${error} retry=${load.reload} />`;
  }
  if (!row) return html`<div class="detail"><${Skeleton} lines=${3} /><${Skeleton} lines=${6} /></div>`;
  // What is shown of request and response is of the attempt before, while this one is pending.
  const shown = load.last ?? row;
  const a = shown.attributes;
  const of = load.last ? a.attempt : null;
  // The heading’s level: below the panel’s heading, or below the page’s.
  const H = wide ? "h2" : "h3";
  return html`<div class="detail">
    <${Actions} row=${row} request=${a.request} load=${load} onShow=${onShow} onRetried=${onRetried} />
    <${Failure} a=${a} row=${row} paused=${load.paused} />
    <${Summary} row=${row} load=${load} />
    <div class=${cx("exchange", wide && "wide")}>
      <${Response} a=${a} of=${of} H=${H} />
      <${Timeline} row=${row} onShow=${onShow} paused=${load.paused} H=${H} actions=${a.request && html`<${CompareButton} row=${shown} />`} />
      <${Request} a=${a} H=${H} /></div>
  </div>`;
}

function CompareButton({ row }) {
  const [open, setOpen] = useState(false);
  return html`<button type="button" class="button quiet small" onClick=${() => setOpen(true)}>Compare…</button>${open && html`<${Lazy} load=${loadCompare} row=${row} onClose=${() => setOpen(false)} />`}`;
}

const ACTION = { pending: "Send now", delivered: "Send again" };

/** The status of the delivery, and what can be done. `request` is the request that is shown. */
function Actions({ row, request, load, onShow, onRetried }) {
  const a = row.attributes;
  const newest = a.attempts.at(-1);
  const [busy, setBusy] = useState(false);
  const retry = async () => {
    setBusy(true);
    const created = await retryOne({ id: newest.status === "pending" ? newest.id : row.id, attributes: { ...a, status: newest.status } });
    setBusy(false);
    if (!created) return;
    onRetried?.(created);
    if (onShow && created.id !== row.id) onShow(created.id);
    else load.reload();
  };
  const main = ["exhausted", "pending"].includes(newest.status);
  return html`<div class="summary-bar">
    <${StatusBadge} status=${a.status} /><span class="muted num"
      >Attempt ${a.attempt}${a.attempts.length > 1 ? ` of ${a.attempts.length}` : ""}</span
    >
    <span class="summary-actions">
      ${request && html`<${CopyButton} text=${() => curl(request)} label="Copy as curl" quiet=${false} />`}
      ${may("admin") && html`<button type="button" class="button small ${main ? "primary" : ""}" aria-keyshortcuts="r" disabled=${busy} onClick=${retry}><${Icon} name="redo" size=${14} />${ACTION[newest.status] ?? "Retry"}</button>`}
    </span>
  </div>`;
}

function Summary({ row, load }) {
  const a = row.attributes;
  const { source, webhook } = useContext(a.event_id, a.endpoint_id).data ?? {};
  return html`<div class="summary">
    <${Facts}
      items=${[
        ["Webhook", html`<a href=${href(`webhooks/${a.endpoint_id}`)}>${a.endpoint_name || "No name"}</a>`],
        webhook?.preset && ["Integration", webhook.preset],
        webhook?.filter && ["Filter", html`<code class="anywhere">${webhook.filter}</code>`],
        webhook?.shaped && ["Request template", html`<a href=${href(`webhooks/${a.endpoint_id}`, { part: "request" })}>View template</a>`],
        ["Event", html`<span class="mono">${a.event_type}</span>`],
        source && ["Source", html`<${SourceLink} source=${source} />`],
        (a.response_status || a.error_kind) && [
          "Response",
          html`<${Code}
            status=${a.response_status}
            kind=${a.error_kind ? (ERRORS[a.error_kind]?.[0] ?? a.error_kind) : null}
          />`,
        ],
        a.attempted_at
          ? ["Attempted at", html`<${Time} at=${a.attempted_at} />`]
          : a.due_at && ["Due", WAITS[load.paused]?.due ?? html`<${Due} at=${a.due_at} />`],
        a.response_time_ms !== null && ["Duration", html`<span class="num">${duration(a.response_time_ms)}</span>`],
        ["Trigger", TRIGGERS[a.trigger] ?? a.trigger],
        a.validation_id && ["Validation", html`<span class="mono">${a.validation_id}</span>`],
        [
          "Event ID",
          html`<a class="mono" href=${href(`events/${a.event_id}`)}
            ><${MiddleEllipsis} text=${a.event_id} tail=${8}
          /></a>`,
        ],
      ]}
    />
  </div>`;
}

const WAITS = {
  paused: { due: "When the webhook is resumed", next: "The webhook is paused. The next attempt is sent after it is resumed." },
  on_hold: { due: "When the hold ends", next: "The webhook is on hold. The delivery follows when a probe succeeds." },
};
/** What to do about failures that a webhook’s own settings cause. */
const ADVICE = {
  template: "Nothing was sent. Correct the request of the webhook, then retry: the new one is used.",
  response: "The receiver responded with 2xx, but the webhook expects another response. See what it says below, or change “Expected response”.",
};
const LINES = 4;
const CHARACTERS = 400;

/** The first lines of a response; null without any. */
function beginning(body) {
  const text = (body ?? "").slice(0, 4 * CHARACTERS).trim();
  const cut = text.split("\n").slice(0, LINES).join("\n").slice(0, CHARACTERS);
  return cut && (cut.length < text.length ? `${cut}…` : cut);
}

/** What went wrong, with the first lines of the response. `a` is of the attempt that failed, `row` is shown. */
function Failure({ a, row, paused }) {
  if (!a.error_kind) return null;
  const [name, meaning] = ERRORS[a.error_kind] ?? [a.error_kind, ""];
  const newest = row.attributes.attempts.at(-1);
  const waits = newest.status === "pending" && newest.id !== a.id;
  const said = beginning(a.response?.body);
  const next = waits
    ? (WAITS[paused]?.next ?? html`The next attempt is due <${Due} at=${newest.due_at} />.`)
    : a.status === "exhausted" && "No retries left.";
  return html`<${Note} tone=${a.status === "exhausted" ? "bad" : "warn"}
    ><strong>${a.response_status ? `HTTP ${a.response_status}` : name}.</strong>${" "}${sentence(a.error_message, name) || meaning}
    ${ADVICE[a.error_kind] && html`<p class="small">${ADVICE[a.error_kind]}${may("admin") && html` <a href=${href(`webhooks/${a.endpoint_id}/edit`)}>Edit the webhook</a>`}</p>`}
    ${said && html`<pre class="said">${said}</pre>`}${next && html`<p class="small">${next}</p>`}<//
  >`;
}

/** The panel next to the list; not modal, so that j and k still move through the list behind it. */
export function Panel({ id, onShow, onClose, onRetried }) {
  const heading = useRef(null);
  useEffect(() => {
    heading.current.focus({ preventScroll: true });
  }, []);
  const load = useDelivery(id);
  return html`<aside class="panel" aria-labelledby="panel-title">
    <header>
      <h2 id="panel-title" tabindex="-1" ref=${heading}>Delivery <span class="num">${id}</span></h2>
      <a class="button quiet small" href=${href(`webhook-deliveries/${id}`)}
        ><${Icon} name="external" size=${14} />Open</a
      >
      <${CopyButton}
        text=${() => new URL(href(`webhook-deliveries/${id}`), location.href).href}
        label="Link"
        what="Copy link"
      />
      <button type="button" class="button quiet icon-only" aria-label="Close" onClick=${onClose}>
        <${Icon} name="cross" />
      </button>
    </header>
    <div class="panel-body"><${DeliveryDetail} load=${load} onShow=${onShow} onRetried=${onRetried} /></div>
  </aside>`;
}
