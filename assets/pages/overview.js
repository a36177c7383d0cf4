// Success rate, response times, pending deliveries, and the webhooks that need attention.
import { html, useState } from "../ui.js";
import { get } from "../api.js";
import { NONE, STATE, duration, number, percent, plural, span } from "../format.js";
import { href, route } from "../router.js";
import { now } from "../state.js";
import { Icon } from "../components/icon.js";
import { Lazy } from "../components/lazy.js";
import { useEvery, useLoad } from "../components/load.js";
import { Card, Page } from "../components/page.js";
import { EmptyState, ErrorState, Skeleton } from "../components/states.js";
import { Attention } from "./overview/attention.js";
import { Charts } from "./overview/charts.js";

const loadFirstRun = () => import("./overview/first-run.js");
const HOUR = 3_600_000;
const RANGES = {
  "24h": ["24 hours", 24 * HOUR, "1h"],
  "7d": ["7 days", 168 * HOUR, "6h"],
  "30d": ["30 days", 720 * HOUR, "1d"],
};
const STEPS = { "1h": HOUR, "6h": 6 * HOUR, "1d": 24 * HOUR };

export default function Overview() {
  const chosen = route.value.query.get("range");
  const range = RANGES[chosen] ? chosen : "24h";
  const [words, length, step] = RANGES[range];
  const state = useLoad((signal) => get("admin/api/overview", {}, { signal }));
  const any = useLoad(
    async (signal) => (await get("v1/webhooks/deliveries", { per_page: 1 }, { signal })).meta.total > 0,
  );
  const stats = useLoad(
    async (signal) =>
      (await get("v1/webhooks/stats", { since: new Date(Date.now() - length).toISOString(), step }, { signal })).data
        .attributes,
    [range],
  );
  useEvery(10_000, () => {
    state.reload();
    stats.reload();
  });
  const [guided, setGuided] = useState(false);

  if (state.error && !state.data)
    return html`<${Page} title="Overview"><${ErrorState} error=${state.error} retry=${state.reload} /><//>`;
  const first = guided || (state.data && any.data === false);
  return html`<${Page}
    title="Overview"
    actions=${!first && html`<div class="segmented" role="group" aria-label="Time range">${Object.entries(RANGES).map(([key, [w]]) => html`<a class="segment" href=${href("", { range: key === "24h" ? null : key })} aria-current=${key === range ? "true" : undefined}>${w}</a>`)}</div>`}
  >
    ${
      first &&
      html`<${Lazy}
        load=${loadFirstRun}
        name="FirstRun"
        webhooks=${state.data?.webhooks}
        onBegin=${() => setGuided(true)}
        onDone=${() => {
          any.reload();
          state.reload();
          stats.reload();
          setGuided(false);
        }}
      />`
    }
    ${
      !first &&
      html`${state.data?.attention.length > 0 && html`<${Attention} list=${state.data.attention} onSent=${state.reload} />`}
        <${Figures} stats=${stats.data} queue=${state.data?.queue} webhooks=${state.data?.webhooks} states=${state.data?.states} range=${range} words=${words} />
        ${stats.error && !stats.data ? html`<${ErrorState} error=${stats.error} retry=${stats.reload} />` : html`<${Charts} stats=${stats.data} step=${STEPS[step]} pending=${state.data?.queue.pending} />`}
        ${state.data && !state.data.attention.length && html`<${Quiet} webhooks=${state.data.webhooks} />`}`
    }
  <//>`;
}

function Figures({ stats, queue, webhooks, states, range, words }) {
  const t = stats?.totals;
  const decided = t ? t.delivered + t.exhausted : 0;
  // Of the whole range: percentiles cannot be computed from those of its steps.
  const speed = t?.response_time_ms;
  const waiting = queue?.oldest_due_at ? Math.max(0, now.value - Date.parse(queue.oldest_due_at)) : null;
  const log = (query) => href("webhook-deliveries", query);
  return html`<dl class="figures">
    <${Figure}
      name="Success rate"
      value=${t && (decided ? percent((t.delivered / decided) * 100) : NONE)}
      below=${t && `of ${plural(decided, "finished delivery", "finished deliveries")}`}
    />
    <${Figure}
      name="Delivered"
      value=${t && number(t.delivered)}
      below="in ${words}"
    />
    <${Figure}
      name="Failed"
      value=${t && html`<a href=${log({ status: "exhausted", last: range })}>${number(t.exhausted)}</a>`}
      tone=${t?.exhausted ? "bad" : ""}
      below=${t && `no retries left; ${plural(t.failed_attempts, "attempt")} failed`}
    />
    <${Figure}
      name="Response time, p95"
      value=${stats && rough(speed?.p95)}
      below=${stats && `median ${rough(speed?.p50)}`}
    />
    <${Figure}
      name="Pending now"
      value=${queue && html`<a href=${log({ status: "pending" })}>${number(queue.pending)}</a>`}
      below=${queue && (waiting !== null && queue.due ? `${number(queue.due)} due${waiting < 2000 ? "" : ` for ${span(waiting)}`}` : `${number(queue.in_flight)} in flight`)}
    />
    <${Figure}
      name="Webhooks"
      value=${webhooks && html`<a href=${href("webhooks")}>${number(webhooks.active + webhooks.paused + webhooks.disabled)}</a>`}
      below=${states && inStates(states)}
    />
  </dl>`;
}

/** "1 on hold, 12 healthy": the two worst states and the best one. */
function inStates(states) {
  const some = Object.keys(STATE).filter((state) => states[state] > 0);
  const said = some.length > 3 ? [...some.slice(0, 2), some.at(-1)] : some;
  return said.map((state) => `${number(states[state])} ${STATE[state].word.toLowerCase()}`).join(", ");
}

/** One decimal is enough here. */
const rough = (ms) => (ms >= 1000 && ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms ?? null));

function Figure({ name, value, below, tone }) {
  return html`<div class="figure ${tone ?? ""}">
    <dt>${name}</dt>
    <dd>${value ?? html`<${Skeleton} width="4rem" height="1.4rem" />`}</dd>
    <dd class="below">${below ?? html`<${Skeleton} width="7rem" />`}</dd>
  </div>`;
}

function Quiet({ webhooks }) {
  const none = webhooks.active + webhooks.paused + webhooks.disabled === 0;
  return html`<${Card} title="Needs attention" flush>
    ${
      none
        ? html`<${EmptyState} icon="webhooks" title="No webhooks yet" text="A webhook tells Postrider where to send which events."
            ><a class="button primary" href=${href("webhooks/new")}>Create a webhook</a><//
          >`
        : html`<p class="all-well"><${Icon} name="check" /> No webhook needs attention.</p>`
    }
  <//>`;
}
