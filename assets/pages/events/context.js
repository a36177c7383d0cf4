// Where an event came from and what it means: its source, its summary, and the webhooks whose filters decline it.
import { html } from "../../ui.js";
import { get } from "../../api.js";
import { plural } from "../../format.js";
import { href } from "../../router.js";
import { useLoad } from "../../components/load.js";

/** With a webhook, also how that shapes its requests. */
export const useContext = (event, webhook = null) =>
  useLoad((signal) => get("admin/api/event-context", { event, webhook }, { signal }), [event, webhook], Boolean(event));

/** A link to the source, and to the request that became the event, which the inbound log has at the same time. */
export function SourceLink({ source, at }) {
  if (source.deleted) return html`${source.name} <span class="muted">(deleted)</span>`;
  const near = (ms) => new Date(Date.parse(at) + ms).toISOString();
  const page = `integrations/sources/${source.id}`;
  return html`<a href=${href(page)}>${source.name}</a>${at && html` <a class="dim small" href=${href(page, { part: "requests", since: near(-1000), until: near(1000) })}>Its request</a>`}`;
}

/** How many webhooks declined the event by their filters, and which would now. */
export function Declined({ filtered, declined }) {
  return html`${plural(filtered, "webhook")}, by filter${declined?.length > 0 && html`: ${declined.map((w, i) => html`${i > 0 && ", "}<a href=${href(`webhooks/${w.id}`)}>${w.name}</a>`)}`}`;
}
