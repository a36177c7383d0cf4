// Success rate, response times, pending deliveries, and the webhooks that need attention.
import { html, useState } from "../ui.js";
import { get } from "../api.js";
import { HEALTH, NONE, duration, number, percent, plural, span } from "../format.js";
import { href, route } from "../router.js";
import { now } from "../state.js";
import { StatusBadge } from "../components/badge.js";
import { Chart } from "../components/chart.js";
import { Icon } from "../components/icon.js";
import { Lazy } from "../components/lazy.js";
import { useEvery, useLoad } from "../components/load.js";
import { Card, Page } from "../components/page.js";
import { EmptyState, ErrorState, Skeleton } from "../components/states.js";
import { MiddleEllipsis } from "../components/text.js";

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
  const [, length, step] = RANGES[range];
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
      html`<${Figures} stats=${stats.data} queue=${state.data?.queue} webhooks=${state.data?.webhooks} />
        ${stats.error && !stats.data ? html`<${ErrorState} error=${stats.error} retry=${stats.reload} />` : html`<${Charts} stats=${stats.data} step=${STEPS[step]} />`}
        <${Attention} list=${state.data?.attention} webhooks=${state.data?.webhooks} />`
    }
  <//>`;
}

function Figures({ stats, queue, webhooks }) {
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
      below=${t && `of ${plural(decided, "delivery", "deliveries")}`}
    />
    <${Figure}
      name="Delivered"
      value=${t && number(t.delivered)}
      below=${t && `${plural(t.failed_attempts, "attempt")} failed`}
    />
    <${Figure}
      name="Failed"
      value=${t && html`<a href=${log({ status: "exhausted" })}>${number(t.exhausted)}</a>`}
      tone=${t?.exhausted ? "bad" : ""}
      below="no retries left"
    />
    <${Figure}
      name="Response time, p95"
      value=${stats && rough(speed?.p95)}
      below=${stats && `median ${rough(speed?.p50)}`}
    />
    <${Figure}
      name="Pending"
      value=${queue && html`<a href=${log({ status: "pending" })}>${number(queue.pending)}</a>`}
      below=${queue && (waiting !== null && queue.due ? `${number(queue.due)} due${waiting < 2000 ? "" : ` for ${span(waiting)}`}` : `${number(queue.in_flight)} in flight`)}
    />
    <${Figure}
      name="Webhooks"
      value=${webhooks && html`<a href=${href("webhooks")}>${number(webhooks.active + webhooks.paused + webhooks.disabled)}</a>`}
      below=${webhooks && [`${webhooks.active} active`, webhooks.paused && `${webhooks.paused} paused`, webhooks.disabled && `${webhooks.disabled} disabled`].filter(Boolean).join(", ")}
    />
  </dl>`;
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

function Charts({ stats, step }) {
  const frame = (body) =>
    html`<div class="charts">
      <${Card} title="Deliveries">${body[0]}<//><${Card} title="Response time">${body[1]}<//>
    </div>`;
  if (!stats) return frame([html`<div class="chart-wait"></div>`, html`<div class="chart-wait"></div>`]);
  const unit = step === HOUR ? "hour" : step === 24 * HOUR ? "day" : `${step / HOUR} hours`;
  const times = stats.series.map((s) => s.start);
  const of = (pick) => stats.series.map(pick);
  return frame([
    html`<${Chart}
      label="Deliveries per ${unit} by final outcome"
      times=${times}
      step=${step}
      stacked
      say=${number}
      series=${[
        { name: "Delivered", tone: "ok", values: of((s) => s.delivered) },
        { name: "Failed", tone: "bad", values: of((s) => s.exhausted) },
      ]}
    />`,
    html`<${Chart}
      label="Response time per ${unit}"
      times=${times}
      step=${step}
      say=${duration}
      axis=${(ms) => (ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`)}
      series=${[
        { name: "p50", tone: "info", values: of((s) => s.response_time_ms.p50) },
        { name: "p95", tone: "warn", dash: [6, 3], values: of((s) => s.response_time_ms.p95) },
        { name: "p99", tone: "off", dash: [2, 3], values: of((s) => s.response_time_ms.p99) },
      ]}
    />`,
  ]);
}

function Attention({ list, webhooks }) {
  const none =
    webhooks && webhooks.active + webhooks.paused + webhooks.disabled === 0
      ? html`<${EmptyState} icon="webhooks" title="No webhooks yet" text="A webhook tells Postrider where to send which events."
          ><a class="button primary" href=${href("webhooks/new")}>Create a webhook</a><//
        >`
      : html`<p class="all-well"><${Icon} name="check" /> All webhooks are healthy.</p>`;
  return html`<${Card} title="Needs attention" flush>
    ${
      !list
        ? html`<div class="attention"><${Skeleton} lines=${3} /></div>`
        : !list.length
          ? none
          : html`<ul class="attention-list">
              ${list.map(
                (w) =>
                  html`<li key=${w.id}>
                    <div class="attention-who">
                      <a class="strong cut" href=${href(`webhooks/${w.id}`)}>${w.name || "No name"}</a
                      ><small class="muted"><${MiddleEllipsis} text=${w.url} /></small>
                    </div>
                    <div class="attention-labels">
                      ${w.status !== "active" ? html`<${StatusBadge} of="endpoint" status=${w.status} />` : labels(w.labels).map(([word, label]) => html`<${StatusBadge} of="health" status=${label} word=${word} />`)}
                    </div>
                    <p>${w.reason}</p>
                    <a
                      class="button small"
                      href=${href("webhook-deliveries", { endpoint_id: w.id, status: w.status === "paused" ? "pending" : ["failed", "exhausted"] })}
                      >${w.status === "paused" ? "Pending" : "Failures"}</a
                    >
                  </li>`,
              )}
            </ul>`
    }
  <//>`;
}

/** Only the labels that need attention, each with its subject. */
const labels = (all) =>
  [
    [`Success ${all?.success_rate}`, all?.success_rate],
    [`Responses ${all?.response_time}`, all?.response_time],
    ["Failing now", all?.activity],
  ].filter(([, label]) => ["warn", "bad"].includes(HEALTH[label]?.tone));
