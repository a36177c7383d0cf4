// Two attempts side by side: only what differs in request and response.
import { html, useState } from "../../ui.js";
import { get } from "../../api.js";
import { ATTEMPT, NONE, duration, plural, short } from "../../format.js";
import { timeMode } from "../../state.js";
import { Dialog } from "../../components/dialog.js";
import { prettyOf } from "../../components/json-text.js";
import { useLoad } from "../../components/load.js";
import { ErrorState, Note, Skeleton } from "../../components/states.js";
import { ofMaps, ofTexts } from "./differences.js";

/** Instead of an attempt of the same delivery: the newest delivery to the webhook that succeeded. */
const SUCCESS = "success";

const detail = async (id, signal) =>
  (await get(`v1/webhooks/deliveries/${encodeURIComponent(id)}`, {}, { signal })).data;

async function newestSuccess({ endpoint_id: endpoint, event_type: type }, signal) {
  const path = `v1/webhooks/${encodeURIComponent(endpoint)}/deliveries`;
  const { data } = await get(path, { status: "delivered", event_type: type, per_page: 1 }, { signal });
  return data.length ? detail(data[0].id, signal) : null;
}

/** `row` is the attempt that is shown, with its details. */
export default function Compare({ row, onClose }) {
  const a = row.attributes;
  const others = a.attempts.filter((x) => x.id !== row.id && x.attempted_at);
  const before = others.filter((x) => x.id < row.id).at(-1) ?? others[0];
  const [wanted, setWanted] = useState(before ? String(before.id) : SUCCESS);
  const other = useLoad(
    (signal) => (wanted === SUCCESS ? newestSuccess(a, signal) : detail(wanted, signal)),
    [row.id, wanted],
  );
  const options = [
    ...others.map((x) => [String(x.id), `Attempt ${x.attempt}, ${ATTEMPT[x.status]?.word.toLowerCase() ?? x.status}`]),
    [SUCCESS, `Newest success of ${a.event_type}`],
  ];
  return html`<${Dialog} title="Compare attempts" wide onClose=${onClose} footer=${html`<button type="button" class="button primary" onClick=${onClose}>Close</button>`}>
    <label>Compare attempt ${a.attempt} with<select value=${wanted} onChange=${(e) => setWanted(e.target.value)}>${options.map(([value, words]) => html`<option value=${value} selected=${value === wanted}>${words}</option>`)}</select></label>
    ${
      other.data
        ? html`<${Both} before=${other.data} after=${row} />`
        : other.error
          ? html`<${ErrorState} error=${other.error} retry=${other.reload} />`
          : other.loading
            ? html`<${Skeleton} lines=${6} />`
            : html`<${Note}>No delivery of ${a.event_type} to this webhook has succeeded, as far as the log reaches.<//>`
    }<//>`;
}

const factsOf = ({ id, attributes: a }) => ({
  Delivery: String(id),
  Sent: a.attempted_at
    ? `${short(a.attempted_at, timeMode.value === "utc" ? "utc" : "local")}${timeMode.value === "utc" ? " UTC" : ""}`
    : "not sent",
  URL: a.request?.url ?? a.endpoint_url,
  Address: a.remote_address ?? undefined,
  Response: a.response_status ? String(a.response_status) : undefined,
  Error: a.error_message ?? undefined,
  Duration: a.response_time_ms === null ? undefined : duration(a.response_time_ms),
});

function Both({ before, after }) {
  const [a, b] = [before.attributes, after.attributes];
  const names = [nameOf(before, after), nameOf(after, before)];
  return html`<div class="stack compare">
    <${Map} title="Attempts" names=${names} maps=${[factsOf(before), factsOf(after)]} />
    <${Map} title="Request headers" names=${names} maps=${[a.request?.headers, b.request?.headers]} what="header" />
    <${Text} title="Payload" texts=${[a.request?.body, b.request?.body]} />
    <${Map} title="Response headers" names=${names} maps=${[a.response?.headers, b.response?.headers]} what="header" />
    <${Text} title="Response body" texts=${[a.response?.body, b.response?.body]} />
  </div>`;
}

/** Attempts of one delivery are told by their number, others by their row. */
const nameOf = (one, other) =>
  one.attributes.delivery_id === other.attributes.delivery_id ? `Attempt ${one.attributes.attempt}` : `Delivery ${one.id}`;

function Map({ title, names, maps, what = "value" }) {
  const { different, same } = ofMaps(...maps);
  const equal = same > 0 && html`<p class="muted small">${plural(same, what)} ${same === 1 ? "is" : "are"} equal.</p>`;
  if (!different.length) return html`<section aria-label=${title}><h3>${title}</h3>${equal || html`<p class="muted small">Both have none.</p>`}</section>`;
  return html`<section aria-label=${title}><h3>${title}</h3>
    <div class="compare-scroll" tabindex="0" role="region" aria-label="${title}: differences"><table>
      <thead><tr><th scope="col">Name</th>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${different.map(([name, x, y]) => html`<tr key=${name}><th scope="row">${name}</th><td class="less">${x ?? NONE}</td><td class="more">${y ?? NONE}</td></tr>`)}</tbody></table></div>
    ${equal}</section>`;
}

const SIGNS = { same: " ", less: "−", more: "+" };

function Text({ title, texts }) {
  const [a, b] = texts.map((text) => prettyOf(text) ?? text ?? "");
  const equal = a === b;
  const lines = equal ? [] : ofTexts(a, b);
  const words = equal ? (a ? "Equal." : "Both have none.") : lines ? null : "They differ, and are too long to compare line by line.";
  return html`<section aria-label=${title}><h3>${title}</h3>${
    words
      ? html`<p class="muted small">${words}</p>`
      : html`<pre class="compare-text" tabindex="0" role="region" aria-label="${title}: differences">${lines.map(([kind, text]) => (kind === "skip" ? html`<span class="skip">${plural(text, "equal line")}</span>` : html`<span class=${kind}>${SIGNS[kind]} ${text}</span>`))}</pre>`
  }</section>`;
}
