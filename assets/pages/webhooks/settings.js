// The settings of a webhook, for reading.
import { html } from "../../ui.js";
import { plural } from "../../format.js";
import { href } from "../../router.js";
import { Card, Facts } from "../../components/page.js";
import { Note } from "../../components/states.js";
import { CopyButton } from "../../components/text.js";
import { Time } from "../../components/time.js";
import { ScheduleWords } from "./schedule.js";

export function Settings({ id, a, configured }) {
  return html`<${Card}><div class="stack">
      <div class="line"><span class="method">${a.request?.method ?? "POST"}</span><span class="mono anywhere">${a.url}</span><${CopyButton} text=${a.url} label="Copy" what="Copy URL" /></div>
      ${a.filter_error && html`<${Note} tone="warn">${a.filter_error} The events were delivered.<//>`}
      ${a.description && html`<p class="prose">${a.description}</p>`}
      <${Facts} items=${[
        a.preset && ["Integration", html`${a.preset.name} <span class="muted">recipe version ${a.preset.version}${a.preset.changed ? ", changed since" : ""}</span>`],
        [
          "Events",
          html`<span class="chips">${a.events.map((p) => html`<span class="chip on mono" key=${p}><span class="anywhere">${p}</span></span>`)}</span>`,
        ],
        a.filter && ["Filter", html`<code class="anywhere">${a.filter}</code>`],
        a.request && ["Sends", html`<a href=${href(`webhooks/${id}`, { part: "request" })}>A request of its own</a>`],
        [
          "Retries",
          html`<${ScheduleWords} waits=${a.retry_schedule ?? configured?.retry_schedule} configured=${!a.retry_schedule} />`,
        ],
        ["Timeout", a.timeout ?? html`${configured?.timeout ?? ""} <span class="muted">(default)</span>`],
        ["Rate limit", rateWords(a.rate_limit)],
        a.contact && ["Contact", html`<span class="anywhere">${a.contact}</span>`],
        ["Payload encryption", a.encrypted ? "On (JWE)" : "Off"],
        a.consecutive_failures > 0 && ["Consecutive failures", html`<span class="num">${a.consecutive_failures}</span>`],
        ["Created", html`<${Time} at=${a.created_at} />`],
        ["Updated", html`<${Time} at=${a.updated_at} />`],
      ]} />
      <${OwnHeaders} headers=${a.headers} />
    </div><//>`;
}

const UNITS = { s: "second", m: "minute", h: "hour" };
/** `5` or `"30/m"` in words. */
function rateWords(limit) {
  if (!limit) return "None";
  const [count, unit = "s"] = String(limit).split("/");
  return `${plural(Number(count), "request")} per ${UNITS[unit]}`;
}

function OwnHeaders({ headers }) {
  const all = Object.entries(headers ?? {});
  if (!all.length) return null;
  return html`<details class="headers" open=${all.length < 4}><summary>Custom headers (${all.length})</summary><dl>${all.map(([name, v]) => html`<div key=${name}><dt>${name}</dt><dd>${typeof v === "string" ? v : html`<span class="muted">secret, never shown</span>`}</dd></div>`)}</dl></details>`;
}
