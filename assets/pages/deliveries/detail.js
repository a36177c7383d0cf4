// One attempt in full: what was sent, what came back, and all attempts of its delivery. Used by the panel and by the page.
import { cx, html, useEffect, useRef, useState } from "../../ui.js";
import { get } from "../../api.js";
import { ATTEMPT, ERRORS, TRIGGERS, duration } from "../../format.js";
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
import { retryOne } from "./retry.js";

/** Loads an attempt, and again every 2 seconds while something about its delivery is still to come soon. */
export function useDelivery(id) {
  const load = useLoad(
    async (signal) => (await get(`v1/webhooks/deliveries/${encodeURIComponent(id)}`, {}, { signal })).data,
    [id],
  );
  const a = load.data?.attributes;
  const soon = a?.attempts?.some((x) => x.status === "pending" && Date.parse(x.due_at) - Date.now() < 5000);
  useEvery(2000, load.reload, Boolean(soon));
  return load;
}

/** `onShow(id)` is called to show another attempt; without it the timeline links to permalinks. */
export function DeliveryDetail({ load, onShow, onRetried, wide }) {
  const { data: row, error } = load;
  if (!row && error) {
    return error.status === 404
      ? html`<${ErrorState}
          title="There is no such delivery"
          error=${{ message: "It belongs to another app, or retention has removed it from the log." }}
        />`
      : html`<${ErrorState} error=${error} retry=${load.reload} />`;
  }
  if (!row) return html`<div class="detail"><${Skeleton} lines=${3} /><${Skeleton} lines=${6} /></div>`;
  const a = row.attributes;
  // Below the panel's heading, or below the page's.
  const H = wide ? { major: "h2", minor: "h3" } : { major: "h3", minor: "h4" };
  return html`<div class="detail">
    <${Summary} row=${row} load=${load} onShow=${onShow} onRetried=${onRetried} />
    <${Failure} a=${a} />
    <${Timeline} row=${row} onShow=${onShow} H=${H} />
    <div class=${cx("exchange", wide && "wide")}><${Request} a=${a} H=${H} /><${Response} a=${a} H=${H} /></div>
  </div>`;
}

function Summary({ row, load, onShow, onRetried }) {
  const a = row.attributes;
  const newest = a.attempts.at(-1);
  const [busy, setBusy] = useState(false);
  const retry = async () => {
    setBusy(true);
    const made = await retryOne({ id: row.id, attributes: { ...a, status: newest.status } });
    setBusy(false);
    if (!made) return;
    onRetried?.(made);
    if (onShow) onShow(made.id);
    else load.reload();
  };
  return html`<div class="summary">
    <div class="summary-bar">
      <${StatusBadge} status=${a.status} /><span class="muted num"
        >Attempt ${a.attempt}${a.attempts.length > 1 ? ` of ${a.attempts.length}` : ""}</span
      >
      <span class="summary-actions">
        ${a.request && html`<${CopyButton} text=${() => curl(a.request)} label="Copy as curl" quiet=${false} />`}
        ${may("admin") && html`<button type="button" class="button small ${newest.status === "exhausted" ? "primary" : ""}" aria-keyshortcuts="r" disabled=${busy || newest.status === "pending"} title=${newest.status === "pending" ? "An attempt is under way or scheduled already." : undefined} onClick=${retry}><${Icon} name="redo" size=${14} />${newest.status === "delivered" ? "Send again" : "Retry"}</button>`}
      </span>
    </div>
    <${Facts}
      items=${[
        ["Webhook", html`<a href=${href(`webhooks/${a.endpoint_id}`)}>${a.endpoint_name || "No name"}</a>`],
        ["Event", html`<span class="mono">${a.event_type}</span>`],
        [
          "Response code",
          html`<${Code}
            status=${a.response_status}
            kind=${a.error_kind ? (ERRORS[a.error_kind]?.[0] ?? a.error_kind) : null}
          />`,
        ],
        a.attempted_at
          ? ["Attempted at", html`<${Time} at=${a.attempted_at} />`]
          : ["Due", html`<${Due} at=${a.due_at} />`],
        a.response_time_ms !== null && ["Duration", html`<span class="num">${duration(a.response_time_ms)}</span>`],
        ["Cause", TRIGGERS[a.trigger] ?? a.trigger],
        a.validation_id && ["Validation", html`<span class="mono">${a.validation_id}</span>`],
        [
          "Event id",
          html`<a class="mono" href=${href(`events/${a.event_id}`)}
            ><${MiddleEllipsis} text=${a.event_id} tail=${8}
          /></a>`,
        ],
      ]}
    />
  </div>`;
}

function Failure({ a }) {
  if (!a.error_kind) return null;
  const [name, meaning] = ERRORS[a.error_kind] ?? [a.error_kind, ""];
  const waiting = a.attempts.at(-1);
  return html`<${Note} tone=${a.status === "exhausted" ? "bad" : "warn"}
    ><strong>${a.response_status ? `HTTP ${a.response_status}` : name}.</strong>
    ${sentence(a.error_message, name) || meaning}
    ${
      a.status === "exhausted"
        ? html`<br /><span>Nothing further is scheduled.</span>`
        : waiting.status === "pending" && waiting.id !== a.id
          ? html`<br /><span>The next attempt is due <${Due} at=${waiting.due_at} />.</span>`
          : null
    }<//
  >`;
}

/** The server's message as a sentence of its own, without saying the name again. */
function sentence(message, name) {
  let text = message ?? "";
  if (text.toLowerCase().startsWith(name.toLowerCase())) text = text.slice(name.length).replace(/^[\s:,.]+/, "");
  text = text.replace(/^HTTP \d{3} /, "");
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
}

function Timeline({ row, onShow, H }) {
  const { attempts } = row.attributes;
  return html`<section aria-label="Attempts">
    <${H.major}>Attempts<//>
    <ol class="timeline">
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
              >${x.attempted_at ? html`<${Time} at=${x.attempted_at} />` : x.status === "pending" ? html`due <${Due} at=${x.due_at} />` : "not sent"}</span
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
              ${a.status === "pending" ? "Not sent yet. What is sent will be shown here exactly." : "Nothing was sent."}
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
            ><${JsonView} text=${r.body} label="Payload" empty="The payload is not kept any more." />`
    }
  </section>`;
}

function Response({ a, H }) {
  const r = a.response;
  return html`<section aria-label="Response">
    <${H.major}>Response<//> ${
      !r
        ? html`<p class="muted">
            ${a.status === "pending" ? "None yet." : a.request ? "No response arrived." : "Nothing was sent, so nothing came back."}
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

/** The request as a command for a shell: everything quoted, so that nothing in it is run. */
export function curl({ method, url, headers, body }) {
  const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
  const lines = [`curl -X ${method} ${quoted(url)}`];
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (name !== "content-length" && name !== "host") lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body) lines.push(`--data-raw ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

/** The panel beside the list; not modal, so that j and k go on through the list behind it. */
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
