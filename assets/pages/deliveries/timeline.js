// All attempts of a delivery: when, where to, how they ended, and where the time went.
import { cx, html } from "../../ui.js";
import { ATTEMPT, ERRORS, TRIGGERS, duration, plural } from "../../format.js";
import { href } from "../../router.js";
import { Code, StatusBadge } from "../../components/badge.js";
import { Time } from "../../components/time.js";
import { DueUnless } from "./paused.js";

/** Retries by hand may be many; the newest and the shown one say enough. */
const LISTED = 50;

/** `onShow(id)` shows another attempt here; without it the entries are permalinks. `actions` stand beside the heading. */
export function Timeline({ row, onShow, paused, H, actions }) {
  const all = row.attributes.attempts;
  const attempts = all.filter((x, i) => i >= all.length - LISTED || x.id === row.id);
  return html`<section aria-label="Attempts">
    <div class="section-head"><${H}>Attempts<//>${actions}</div>
    <ol class="timeline">
      ${attempts.length < all.length && html`<li class="muted timeline-more">${plural(all.length - attempts.length, "earlier attempt")} not listed</li>`}
      ${attempts.map((x) => html`<${Entry} key=${x.id} x=${x.id === row.id ? { ...x, ...timesOf(row.attributes) } : x} current=${x.id === row.id} onShow=${onShow} paused=${paused} />`)}
    </ol>
  </section>`;
}

const timesOf = ({ remote_address, timings, response_time_ms }) => ({ remote_address, timings, response_time_ms });

function Entry({ x, current, onShow, paused }) {
  const why = x.error_kind && x.error_kind !== "http_status" ? ERRORS[x.error_kind]?.[0] : null;
  const open = (e) => {
    if (!onShow) return;
    e.preventDefault();
    e.stopPropagation();
    onShow(x.id);
  };
  return html`<li class=${cx(ATTEMPT[x.status]?.tone, current && "current")}>
    <a href=${href(`webhook-deliveries/${x.id}`)} aria-current=${current ? "true" : undefined} onClick=${open}>
      <span class="num">${x.attempt}</span><${StatusBadge} status=${x.status} quiet /><span class="timeline-what"
        ><${Code} status=${x.response_status} kind=${why ?? ""}
      /></span>
      <span class="muted timeline-cause">${TRIGGERS[x.trigger] ?? x.trigger}</span
      ><span class="timeline-time"
        >${x.attempted_at ? html`<${Time} at=${x.attempted_at} />` : x.status === "pending" ? html`<${DueUnless} at=${x.due_at} paused=${paused} />` : "not sent"}</span
      >
      <${Way} x=${x} />
    </a>
  </li>`;
}

/** The parts of an attempt in the order in which they happen: the field of the API, and the words. */
const PARTS = [
  ["dns_ms", "DNS"],
  ["connect_ms", "connect"],
  ["tls_ms", "TLS"],
  ["first_byte_ms", "first byte"],
];

/** The parts that took time, and the rest of the whole time. */
export function partsOf(timings, whole) {
  const parts = PARTS.filter(([field]) => typeof timings?.[field] === "number").map(([field, word]) => ({
    word,
    ms: timings[field],
  }));
  const rest = (whole ?? 0) - parts.reduce((sum, { ms }) => sum + ms, 0);
  return rest > 0 ? [...parts, { word: "rest", ms: rest }] : parts;
}

/** The address, and a bar of where the time went. */
function Way({ x }) {
  const parts = x.timings ? partsOf(x.timings, x.response_time_ms) : [];
  if (!x.remote_address && !parts.length) return null;
  const words = parts.map(({ word, ms }) => `${word} ${duration(ms)}`).join(", ");
  return html`<span class="way">
    ${x.remote_address && html`<span class="mono muted">${x.remote_address}</span>`}
    ${parts.length > 0 && html`<span class="way-bar" role="img" aria-label=${words} title=${words}>${parts.map(({ word, ms }) => html`<span class="part-${word.replace(" ", "-")}" style=${{ flexGrow: Math.max(ms, 0.2) }}></span>`)}</span>`}
    ${parts.length > 0 && html`<span class="muted way-words">${words}</span>`}
  </span>`;
}
