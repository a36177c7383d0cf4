// The deliveries of a webhook with the newest activity, each a link to its details.
import { html } from "../../ui.js";
import { href } from "../../router.js";
import { Code, StatusBadge } from "../../components/badge.js";
import { Card } from "../../components/page.js";
import { EmptyState, ErrorState, Skeleton } from "../../components/states.js";
import { Time } from "../../components/time.js";
import { outcomeOf, statusOf } from "../deliveries/outcome.js";
import { DueUnless } from "../deliveries/paused.js";

export function Recent({ id, load, paused }) {
  const { data: rows, error } = load;
  return html`<${Card} title="Recent deliveries" flush actions=${html`<a class="button small" href=${href("webhook-deliveries", { endpoint_id: id })}>Delivery log</a>`}>
    ${
      !rows
        ? error
          ? html`<${ErrorState} error=${error} retry=${load.reload} />`
          : html`<div class="padded"><${Skeleton} lines=${5} /></div>`
        : !rows.length
          ? html`<${EmptyState} icon="deliveries" title="No deliveries yet" text="Attempts appear here as soon as an event is posted that this webhook subscribes to." />`
          : html`<ul class="recent">${rows.map(
              ({ id: row, attributes: a }) => html`<li key=${row}><a href=${href(`webhook-deliveries/${row}`)}>
        <${StatusBadge} status=${statusOf(a)} /><span class="mono cut" title=${a.event_type}>${a.event_type}</span>
        <${Code} status=${outcomeOf(a).status} kind=${outcomeOf(a).name} />
        <span class="muted recent-time">${(a.attempted_at ?? a.last_attempted_at) ? html`<${Time} at=${a.attempted_at ?? a.last_attempted_at} />` : a.due_at ? html`<${DueUnless} at=${a.due_at} paused=${paused} />` : "not sent"}</span></a></li>`,
            )}</ul>`
    }<//>`;
}
