// The charts of the overview: outcomes, what was pending, response times, and attempts by response status.
import { html } from "../../ui.js";
import { duration, number } from "../../format.js";
import { Chart } from "../../components/chart.js";
import { Card } from "../../components/page.js";

const HOUR = 3_600_000;
const TITLES = ["Deliveries", "Pending", "Attempts", "Response time"];

/**
 * Pending deliveries at the end of each step, counted back from now: what was made later was not pending yet, what
 * finished later still was. Cancelled ones are in no series, so that earlier steps may be too low by them.
 */
export function backlog(series, pending) {
  const ends = [];
  let now = pending;
  for (const step of [...series].reverse()) {
    ends.unshift(Math.max(0, now));
    now += step.delivered + step.exhausted - step.deliveries;
  }
  return ends;
}

const STATUSES = [
  ["2xx", "2xx", "ok"],
  ["3xx", "3xx", "info"],
  ["4xx", "4xx", "warn"],
  ["5xx", "5xx", "bad"],
  ["none", "No response", "off"],
  ["other", "Other", "muted"],
];
/** Attempts by the class of their response’s status: the two classes that everybody looks for, and those that occur. */
export function byStatus(series) {
  const count = (step, status) => step.statuses?.find((one) => one.status === status)?.count ?? 0;
  return STATUSES.map(([status, name, tone]) => ({ name, tone, values: series.map((step) => count(step, status)) })).filter(
    ({ name, values }) => name === "2xx" || name === "5xx" || values.some((n) => n > 0),
  );
}

/** `step` in milliseconds; `pending` is how many deliveries are pending now. */
export function Charts({ stats, step, pending }) {
  const frame = (body) =>
    html`<div class="charts">${TITLES.map((title, i) => html`<${Card} key=${title} title=${title}>${body[i] ?? html`<div class="chart-wait"></div>`}<//>`)}</div>`;
  if (!stats) return frame([]);
  const { series } = stats;
  const unit = step === HOUR ? "hour" : step === 24 * HOUR ? "day" : `${step / HOUR} hours`;
  const times = series.map((s) => s.start);
  const of = (pick) => series.map(pick);
  const chart = (label, rest) => html`<${Chart} label=${label} times=${times} step=${step} ...${rest} />`;
  return frame([
    chart(`Deliveries per ${unit} by final outcome`, {
      stacked: true,
      say: number,
      series: [
        { name: "Delivered", tone: "ok", values: of((s) => s.delivered) },
        { name: "Failed", tone: "bad", values: of((s) => s.exhausted) },
      ],
    }),
    pending !== undefined &&
      chart(`Pending deliveries at the end of each ${unit}`, {
        counts: true,
        say: number,
        series: [{ name: "Pending", tone: "info", values: backlog(series, pending) }],
      }),
    chart(`Attempts per ${unit} by response status`, { stacked: true, say: number, series: byStatus(series) }),
    chart(`Response time per ${unit}`, {
      say: duration,
      axis: (ms) => (ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`),
      series: [
        { name: "p50", tone: "info", values: of((s) => s.response_time_ms.p50) },
        { name: "p95", tone: "warn", dash: [6, 3], values: of((s) => s.response_time_ms.p95) },
        { name: "p99", tone: "off", dash: [2, 3], values: of((s) => s.response_time_ms.p99) },
      ],
    }),
  ]);
}
