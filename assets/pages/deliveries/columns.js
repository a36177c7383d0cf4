// The columns of the log, and what stands in a cell.
import { html } from "../../ui.js";
import { ERRORS, duration } from "../../format.js";
import { href } from "../../router.js";
import { may, timeMode } from "../../state.js";
import { Code, StatusBadge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { MiddleEllipsis } from "../../components/text.js";
import { Due, Time } from "../../components/time.js";

/** `schedule` is the configured list of waits; a webhook may have its own. */
export function columnsOf({ endpoints, schedule, onOpen, onRetry }) {
  const own = new Map((endpoints ?? []).map((e) => [e.id, e.attributes.retry_schedule]));
  const most = (a) => (own.get(a.endpoint_id) ?? schedule)?.length + 1 || null;
  const paused = new Set((endpoints ?? []).filter((e) => e.attributes.status === "paused").map((e) => e.id));
  const timeWidth = timeMode.value === "relative" ? "6.8rem" : "9rem";
  return [
    {
      key: "webhook",
      title: "Webhook",
      card: "head",
      cell: ({ attributes: a }) =>
        html`<div class="cell-two">
          <span class="cut strong" title=${a.endpoint_name}
            >${a.endpoint_name || html`<span class="muted">No name</span>`}</span
          ><small><${MiddleEllipsis} text=${a.endpoint_url} /></small>
        </div>`,
    },
    {
      key: "event",
      title: "Event",
      width: "clamp(10.6rem, 13vw, 18rem)",
      card: "line",
      cell: ({ attributes: a }) => html`<span class="cut mono" title=${a.event_type}>${a.event_type}</span>`,
    },
    {
      key: "status",
      title: "Status",
      sort: "status",
      width: "7.6rem",
      card: "aside",
      cell: ({ attributes: a }) =>
        html`<${StatusBadge}
            status=${a.status}
          />${a.next_retry_at && html`<small class="next">next <${Due} at=${a.next_retry_at} /></small>`}`,
    },
    {
      key: "code",
      title: "Response Code",
      sort: "response_status",
      width: "8.6rem",
      card: "line",
      className: "col-code",
      cell: ({ attributes: a }) =>
        html`<span class="cut" title=${a.error_message}
          ><${Code}
            status=${a.response_status}
            kind=${a.error_kind ? (ERRORS[a.error_kind]?.[0] ?? a.error_kind) : null}
        /></span>`,
    },
    {
      key: "duration",
      title: "Duration",
      sort: "response_time_ms",
      num: true,
      width: "5.4rem",
      card: "line",
      className: "col-opt",
      cell: ({ attributes: a }) =>
        html`<span class=${a.response_time_ms === null ? "num blank" : "num"}>${duration(a.response_time_ms)}</span>`,
    },
    {
      key: "attempt",
      title: "Attempt",
      num: true,
      width: "4.6rem",
      card: "line",
      className: "col-opt",
      cell: ({ attributes: a }) => {
        const m = most(a);
        return html`<span class="num"
          ><span class="card-word">attempt </span
          >${a.attempt}${m && a.attempt <= m ? html`<span class="muted"> of ${m}</span>` : ""}</span
        >`;
      },
    },
    {
      key: "at",
      title: "Attempted At",
      sort: "attempted_at",
      width: timeWidth,
      card: "line",
      cell: ({ attributes: a }) =>
        a.attempted_at
          ? html`<${Time} at=${a.attempted_at} />`
          : a.status === "pending" && paused.has(a.endpoint_id)
            ? html`<span class="muted" title="The webhook is paused: its deliveries are queued and wait.">paused</span>`
            : a.status === "pending"
              ? html`<span class="muted">due <${Due} at=${a.due_at} /></span>`
              : html`<span class="muted">not sent</span>`,
    },
    {
      key: "actions",
      title: "Actions",
      width: may("admin") ? "5.2rem" : "4.6rem",
      card: "foot",
      className: "overflow",
      cell: (row) =>
        html`<div class="row-actions">
          ${may("admin") && html`<button type="button" class="button quiet small icon-only" title="Retry" aria-label="Retry delivery ${row.id}" disabled=${row.attributes.status === "pending"} onClick=${onRetry(row)}><${Icon} name="redo" size=${15} /></button>`}
          <a
            class="button quiet small icon-only view"
            title="View details"
            aria-label="View delivery ${row.id}"
            href=${href(`webhook-deliveries/${row.id}`)}
            onClick=${(e) => {
              if (e.metaKey || e.ctrlKey || e.shiftKey || e.button) return;
              e.preventDefault();
              e.stopPropagation();
              onOpen(row);
            }}
            ><${Icon} name="eye" size=${16}
          /></a>
        </div>`,
    },
  ];
}
