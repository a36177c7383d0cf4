// One attempt in full: request, response, and all attempts of its delivery. Used by the panel and by the page.
import { cx, html, useEffect, useRef, useState } from "../../ui.js";
import { get } from "../../api.js";
import { ATTEMPT, ERRORS, TRIGGERS, duration, plural } from "../../format.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { Code, StatusBadge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { JsonView } from "../../components/json.js";
import { useEvery, useLoad } from "../../components/load.js";
import { Facts } from "../../components/page.js";
import { ErrorState, Note, Skeleton } from "../../components/states.js";
import { CopyButton, MiddleEllipsis } from "../../components/text.js";
import { Due, Time } from "../../components/time.js";
import { DueUnless, usePaused } from "./paused.js";
import { retryOne } from "./retry.js";

/** Loads an attempt, and reloads it every 2 seconds while an attempt of its delivery is due soon. */
export function useDelivery(id) {
  const load = useLoad(
    async (signal) => (await get(`v1/webhooks/deliveries/${encodeURIComponent(id)}`, {}, { signal })).data,
    [id],
  );
  const a = load.data?.attributes;
  const soon = a?.attempts?.some((x) => x.status === "pending" && Date.parse(x.due_at) - Date.now() < 5000);
  useEvery(2000, load.reload, Boolean(soon));
  const paused = usePaused(Boolean(a?.attempts?.some((x) => x.status === "pending")));
  return { ...load, paused: Boolean(a && paused(a.endpoint_id)) };
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
  const a = row.attributes;
  // Heading levels: below the panel’s heading, or below the page’s.
  const H = wide ? { major: "h2", minor: "h3" } : { major: "h3", minor: "h4" };
  return html`<div class="detail">
    <${Summary} row=${row} load=${load} onShow=${onShow} onRetried=${onRetried} />
    <${Failure} a=${a} paused=${load.paused} />
    <${Timeline} row=${row} onShow=${onShow} paused=${load.paused} H=${H} />
    <div class=${cx("exchange", wide && "wide")}><${Request} a=${a} H=${H} /><${Response} a=${a} H=${H} /></div>
  </div>`;
}

function Summary({ row, load, onShow, onRetried }) {
  const a = row.attributes;
  const newest = a.attempts.at(-1);
  const [busy, setBusy] = useState(false);
  const retry = async () => {
    setBusy(true);
    const created = await retryOne({ id: row.id, attributes: { ...a, status: newest.status } });
    setBusy(false);
    if (!created) return;
    onRetried?.(created);
    if (onShow) onShow(created.id);
    else load.reload();
  };
  return html`<div class="summary">
    <div class="summary-bar">
      <${StatusBadge} status=${a.status} /><span class="muted num"
        >Attempt ${a.attempt}${a.attempts.length > 1 ? ` of ${a.attempts.length}` : ""}</span
      >
      <span class="summary-actions">
        ${a.request && html`<${CopyButton} text=${() => curl(a.request)} label="Copy as curl" quiet=${false} />`}
        ${may("admin") && html`<button type="button" class="button small ${newest.status === "exhausted" ? "primary" : ""}" aria-keyshortcuts="r" disabled=${busy || newest.status === "pending"} title=${newest.status === "pending" ? "An attempt is already scheduled or in flight." : undefined} onClick=${retry}><${Icon} name="redo" size=${14} />${newest.status === "delivered" ? "Send again" : "Retry"}</button>`}
      </span>
    </div>
    <${Facts}
      items=${[
        ["Webhook", html`<a href=${href(`webhooks/${a.endpoint_id}`)}>${a.endpoint_name || "No name"}</a>`],
        ["Event", html`<span class="mono">${a.event_type}</span>`],
        [
          "Response",
          html`<${Code}
            status=${a.response_status}
            kind=${a.error_kind ? (ERRORS[a.error_kind]?.[0] ?? a.error_kind) : null}
          />`,
        ],
        a.attempted_at
          ? ["Attempted at", html`<${Time} at=${a.attempted_at} />`]
          : ["Due", load.paused ? "When the webhook is resumed" : html`<${Due} at=${a.due_at} />`],
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

function Failure({ a, paused }) {
  if (!a.error_kind) return null;
  const [name, meaning] = ERRORS[a.error_kind] ?? [a.error_kind, ""];
  const waiting = a.attempts.at(-1);
  return html`<${Note} tone=${a.status === "exhausted" ? "bad" : "warn"}
    ><strong>${a.response_status ? `HTTP ${a.response_status}` : name}.</strong>${" "}${sentence(a.error_message, name) || meaning}
    ${
      a.status === "exhausted"
        ? html`<br /><span>No retries left.</span>`
        : waiting.status === "pending" && waiting.id !== a.id
          ? html`<br /><span>${paused ? "The webhook is paused. The next attempt is sent after it is resumed." : html`The next attempt is due <${Due} at=${waiting.due_at} />.`}</span>`
          : null
    }<//
  >`;
}

/** The server’s message as a sentence, without repeating the name. */
function sentence(message, name) {
  let text = message ?? "";
  if (text.toLowerCase().startsWith(name.toLowerCase())) text = text.slice(name.length).replace(/^[\s:,.]+/, "");
  text = text.replace(/^HTTP \d{3} /, "");
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
}

/** Retries by hand may be many; the newest and the shown one say enough. */
const LISTED = 50;

function Timeline({ row, onShow, paused, H }) {
  const all = row.attributes.attempts;
  const attempts = all.filter((x, i) => i >= all.length - LISTED || x.id === row.id);
  return html`<section aria-label="Attempts">
    <${H.major}>Attempts<//>
    <ol class="timeline">
      ${attempts.length < all.length && html`<li class="muted timeline-more">${plural(all.length - attempts.length, "earlier attempt")} not listed</li>`}
      ${attempts.map((x) => {
        const why = x.error_kind && x.error_kind !== "http_status" ? ERRORS[x.error_kind]?.[0] : null;
        const open = (e) => {
          if (onShow) {
            e.preventDefault();
            e.stopPropagation();
            onShow(x.id);
          }
        };
        return html`<li key=${x.id} class=${cx(ATTEMPT[x.status]?.tone, x.id === row.id && "current")}>
          <a
            href=${href(`webhook-deliveries/${x.id}`)}
            aria-current=${x.id === row.id ? "true" : undefined}
            onClick=${open}
          >
            <span class="num">${x.attempt}</span><${StatusBadge} status=${x.status} quiet /><span class="timeline-what"
              ><${Code} status=${x.response_status} kind=${why ?? ""}
            /></span>
            <span class="muted timeline-cause">${TRIGGERS[x.trigger] ?? x.trigger}</span
            ><span class="timeline-time"
              >${x.attempted_at ? html`<${Time} at=${x.attempted_at} />` : x.status === "pending" ? html`<${DueUnless} at=${x.due_at} paused=${paused} />` : "not sent"}</span
            ></a
          >
        </li>`;
      })}
    </ol>
  </section>`;
}

function Headers({ headers, label }) {
  const all = Object.entries(headers ?? {});
  if (!all.length) return null;
  return html`<details class="headers" open=${matchMedia("(min-width: 641px)").matches}>
    <summary>${label} <span class="muted num">${all.length}</span></summary>
    <dl>
      ${all.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
  </details>`;
}

function Request({ a, H }) {
  const r = a.request;
  return html`<section aria-label="Request">
    <${H.major}>Request<//> ${
      !r
        ? html`<p class="muted">
              ${a.status === "pending" ? "Not sent yet. The exact request will appear here." : "Nothing was sent."}
            </p>
            <div class="line">
              <span class="method">POST</span><span class="mono anywhere">${a.endpoint_url}</span>
            </div>`
        : html`<div class="line">
              <span class="method">${r.method}</span><span class="mono anywhere">${r.url}</span
              ><${CopyButton} text=${r.url} label="Copy" what="Copy URL" />
            </div>
            <${Headers} headers=${r.headers} label="Request headers" />
            <${H.minor} class="minor">Payload<//
            ><${JsonView} text=${r.body} label="Payload" empty="The payload is no longer kept." />`
    }
  </section>`;
}

function Response({ a, H }) {
  const r = a.response;
  return html`<section aria-label="Response">
    <${H.major}>Response<//> ${
      !r
        ? html`<p class="muted">
            ${a.status === "pending" ? "None yet." : a.request ? "No response arrived." : "Nothing was sent, so there is no response."}
          </p>`
        : html`<div class="line">
              <${Code} status=${r.status} /><span class="muted num">in ${duration(a.response_time_ms)}</span>
            </div>
            <${Headers} headers=${r.headers} label="Response headers" />
            <${H.minor} class="minor">Body<//
            ><${JsonView}
              text=${r.body}
              label="Response body"
              truncated=${r.body_truncated}
              empty="The response had no body."
            />`
    }
  </section>`;
}

/** The request as a shell command, with everything quoted so that the shell runs nothing in it. */
export function curl({ method, url, headers, body }) {
  const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
  const lines = [`curl -X ${method} ${quoted(url)}`];
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (name !== "content-length" && name !== "host") lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body) lines.push(`--data-raw ${quoted(body)}`);
  return lines.join(" \\\n  ");
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
