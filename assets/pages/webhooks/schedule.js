// Delays between attempts: entered as "2m, 8m, 20m", shown as the clock times for an event at 10:00.
import { html } from "../../ui.js";
import { Field } from "../../components/form.js";

const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DAY = MS.d,
  TEN = 10 * MS.h;

/** A duration in ms; null when it is none. */
export function spanOf(text) {
  const [, number, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(String(text).trim()) ?? [];
  return unit ? Number(number) * MS[unit] : text === "0" ? 0 : null;
}

export const waitsOf = (text) => text.split(/[\s,]+/).filter(Boolean);

const two = (n) => String(n).padStart(2, "0");
/** "10:02, 10:10, 10:30" for consecutive delays; null when one is not a duration. */
export function clockTimes(waits) {
  let at = TEN;
  const fine = waits.some((w) => (spanOf(w) ?? 0) % MS.m);
  const times = [];
  for (const wait of waits) {
    const span = spanOf(wait);
    if (span === null) return null;
    at += span;
    const s = Math.floor((at % DAY) / 1000),
      days = Math.floor(at / DAY);
    times.push(
      `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}${fine ? `:${two(s % 60)}` : ""}${days ? ` (+${days} d)` : ""}`,
    );
  }
  return times.join(", ");
}

/** A schedule in words, for reading. */
export function ScheduleWords({ waits, configured }) {
  if (!waits) return html`<span class="muted">${configured ? "Unknown" : "Server default"}</span>`;
  if (!waits.length) return html`No retries`;
  const times = clockTimes(waits);
  return html`<span class="num">${waits.join(", ")}</span>${configured ? html` <span class="muted">(default)</span>` : ""}${times && html`<br /><span class="muted num">An event at 10:00 is retried at ${times}</span>`}`;
}

/** The part of the form; `form.values.retry` is `configured`, `none` or `own`, with the text in `retry_schedule`. */
export function ScheduleField({ form, configured }) {
  form.known.current.add("retry_schedule");
  const { retry, retry_schedule: text } = form.values;
  const waits = retry === "own" ? waitsOf(text) : retry === "none" ? [] : configured;
  const times = waits?.length ? clockTimes(waits) : null;
  const wrong = waits?.find((w) => spanOf(w) === null);
  const choices = [
    ["configured", "Server default"],
    ["own", "Custom"],
    ["none", "No retries"],
  ];
  return html`<fieldset class="field"><legend>Retries</legend>
    <div class="segmented" role="group" aria-label="Retries">${choices.map(([key, word]) => html`<button type="button" aria-pressed=${retry === key} onClick=${() => form.set("retry", key)}>${word}</button>`)}</div>
    ${retry === "own" && html`<${Field} form=${form} name="retry_schedule" label="Delays between attempts" placeholder="2m, 8m, 20m" spellcheck="false" autocomplete="off" hint="For example 30s, 2m, 1h or 1d, separated by commas." />`}
    <p class="clock-times" role="status">${
      wrong
        ? html`<span class="muted">“${wrong}” is not a duration, such as 30s, 2m, 1h or 1d.</span>`
        : times
          ? html`<span class="muted">An event at 10:00 that keeps failing is retried at</span> <strong class="num">${times}</strong>${retry === "configured" && html` <span class="muted">(${waits.join(", ")})</span>`}`
          : retry === "configured"
            ? html`<span class="muted">The server’s default schedule.</span>`
            : retry === "own"
              ? html`<span class="muted">Enter the delays to preview retry times.</span>`
              : html`<span class="muted">Only one attempt. If it fails, the delivery has failed.</span>`
    }</p>
  </fieldset>`;
}
