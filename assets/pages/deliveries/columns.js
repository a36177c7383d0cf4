// The columns of the delivery log and their cells.
import { html } from "../../ui.js";
import { duration } from "../../format.js";
import { href } from "../../router.js";
import { may, timeMode } from "../../state.js";
import { Code, StatusBadge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { MiddleEllipsis } from "../../components/text.js";
import { Time } from "../../components/time.js";
import { outcomeOf, sentence, statusOf } from "./outcome.js";
import { DueUnless } from "./paused.js";

/**
 * `paused` says of a webhook’s id why its deliveries wait; `view` is what a row is, `sorts` whether the order can be
 * chosen.
 */
export function columnsOf({ view, sorts, paused, onOpen, onRetry }) {
  const byDelivery = view === "deliveries";
  const columns = all({ byDelivery, paused, onOpen, onRetry });
  return sorts ? columns : columns.map(({ sort, ...column }) => column);
}

function all({ byDelivery, paused, onOpen, onRetry }) {
  const timeWidth = timeMode.value === "relative" ? "7.6rem" : "9.2rem";
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
            status=${statusOf(a)}
          />${nextOf(a) && html`<small class="next"><${DueUnless} word="next" at=${nextOf(a)} paused=${paused(a.endpoint_id)} /></small>`}`,
    },
    {
      key: "code",
      title: "Response Code",
      sort: "response_status",
      width: "clamp(9rem, 22%, 24rem)",
      card: "line",
      className: "col-code",
      cell: ({ attributes: a }) => {
        const { status, name, message } = outcomeOf(a);
        const why = reasonOf(a, message, name);
        return html`<div class="cell-two" title=${message}>
          <span class="cut"><${Code} status=${status} kind=${name} /></span>${why && html`<small class="cause">${why}</small>`}
        </div>`;
      },
    },
    {
      key: "duration",
      title: "Duration",
      sort: "response_time_ms",
      num: true,
      width: "5.4rem",
      card: "line",
      className: byDelivery ? "col-opt col-wide" : "col-opt",
      cell: ({ attributes: a }) =>
        html`<span class=${a.response_time_ms === null ? "num blank" : "num"}>${duration(a.response_time_ms)}</span>`,
    },
    {
      key: "attempt",
      title: byDelivery ? "Attempts" : "Attempt",
      num: true,
      width: "4.6rem",
      card: "line",
      className: "col-opt",
      // Not "of 4": a schedule may have been changed since, and a bulk retry starts it again.
      cell: ({ attributes: a }) =>
        html`<span class="num"><span class="card-word">attempt </span>${byDelivery && a.last_attempted_at ? a.attempt - 1 : a.attempt}</span>`,
    },
    {
      key: "at",
      title: "Attempted At",
      sort: byDelivery ? "last_activity_at" : "attempted_at",
      width: timeWidth,
      card: "line",
      cell: ({ attributes: a }) =>
        a.attempted_at || a.last_attempted_at
          ? html`<${Time} at=${a.attempted_at ?? a.last_attempted_at} />`
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
          ${may("admin") && html`<button type="button" class="button quiet small icon-only" title=${sendWord(row)} aria-label=${sendLabel(row)} onClick=${onRetry(row)}><${Icon} name="redo" size=${15} /></button>`}
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

const isPending = (row) => row.attributes.status === "pending";
const sendWord = (row) => (isPending(row) ? "Send now" : "Retry");
const sendLabel = (row) => (isPending(row) ? `Send delivery ${row.id} now` : `Retry delivery ${row.id}`);

/** When the next attempt is due, of a row that shows how an earlier one ended. */
const nextOf = (a) => a.next_retry_at ?? (a.status === "pending" && a.last_attempted_at ? a.due_at : null);

/** Why it failed: the beginning of what the receiver said, else Postrider’s words. */
function reasonOf(a, message, name) {
  if (!name) return null;
  return (a.response_status && a.response_body?.trim().slice(0, 200)) || sentence(message, name);
}
