// The columns of the delivery log and their cells.
import { html } from "../../ui.js";
import { ERRORS, duration } from "../../format.js";
import { href } from "../../router.js";
import { may, timeMode } from "../../state.js";
import { Code, StatusBadge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { MiddleEllipsis } from "../../components/text.js";
import { Time } from "../../components/time.js";
import { DueUnless } from "./paused.js";

/** `paused` says of a webhook’s id whether it is paused. */
export function columnsOf({ paused, onOpen, onRetry }) {
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
      width: "clamp(9.8rem, 12vw, 18rem)",
      card: "line",
      cell: ({ attributes: a }) => html`<span class="cut mono" title=${a.event_type}>${a.event_type}</span>`,
    },
    {
      key: "status",
      title: "Status",
      sort: "status",
      width: "9.2rem",
      card: "aside",
      cell: ({ attributes: a }) =>
        html`<${StatusBadge}
            status=${a.status}
          />${a.next_retry_at && html`<small class="next"><${DueUnless} word="next" at=${a.next_retry_at} paused=${paused(a.endpoint_id)} /></small>`}`,
    },
    {
      key: "code",
      title: "Response Code",
      sort: "response_status",
      width: "7.8rem",
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
      // Not "of 4": a schedule may have been changed since, and a bulk retry starts it again.
      cell: ({ attributes: a }) =>
        html`<span class="num"><span class="card-word">attempt </span>${a.attempt}</span>`,
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
          : html`<span class="muted">${a.status === "pending" ? html`<${DueUnless} at=${a.due_at} paused=${paused(a.endpoint_id)} />` : "not sent"}</span>`,
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
