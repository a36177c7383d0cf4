// How long data is kept, its size, and the cleanup that removes older data.
import { html, useState } from "../ui.js";
import { get, post, put } from "../api.js";
import { bytes, number, plural } from "../format.js";
import { may } from "../state.js";
import { Badge } from "../components/badge.js";
import { confirm } from "../components/dialog.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useEvery, useLoad } from "../components/load.js";
import { Card, Facts, Page } from "../components/page.js";
import { ErrorState, Note, Skeleton } from "../components/states.js";
import { Due, Time } from "../components/time.js";
import { toast } from "../components/toast.js";

const PARTS = [
  ["logs", "Delivery log", "Attempts with their requests and responses."],
  ["events", "Events", "Events and their payloads. Events with pending deliveries are kept."],
];
const isForever = (value) => /^0/.test(value);
const inWords = (value) => {
  const [, n, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(value) ?? [];
  if (isForever(value)) return "forever";
  return unit ? plural(Number(n), { ms: "millisecond", s: "second", m: "minute", h: "hour", d: "day" }[unit]) : value;
};

export default function Retention() {
  const load = useLoad((signal) => get("admin/api/retention", {}, { signal }));
  useEvery(30_000, load.reload);
  const r = load.data;
  const sweep = async () => {
    let done;
    const swept = await confirm({
      title: "Clean up now?",
      action: "Clean up now",
      act: async () => {
        done = (await post("v1/retention/sweep")).data.attributes;
      },
      text: html`<p>Removes attempts and events that are older than their policy. This also happens automatically; now it happens sooner.</p>`,
    });
    if (!swept) return;
    toast(
      done.attempts || done.events
        ? `Removed ${plural(done.attempts, "attempt")} and ${plural(done.events, "event")}.`
        : "Nothing to remove.",
    );
    load.reload();
  };
  if (!r)
    return html`<${Page} title="Retention policies">${load.error ? html`<${ErrorState} error=${load.error} retry=${load.reload} />` : html`<${Card}><${Skeleton} lines=${8} /><//>`}<//>`;
  const s = r.sizes;
  return html`<${Page} title="Retention policies" actions=${may("owner") && html`<button type="button" class="button" onClick=${sweep}><${Icon} name="retention" />Clean up now</button>`}>
    ${r.held_back && html`<${Note} tone="warn"><strong>Cleanup is on hold.</strong> ${r.held_back}<//>`}
    ${load.error && html`<${Note} tone="bad">${load.error.message}<//>`}
    <${Card} title="Policy"><${Policy} key=${JSON.stringify([r.logs, r.events])} view=${r} onSaved=${load.reload} /><//>
    <${Card} title="Sizes"><${Facts} items=${[
      ["Database", html`<span class="num">${bytes(s.database_bytes)}</span>`],
      ["Reusable space", html`<span class="num">${bytes(s.free_bytes)}</span>`],
      ["Attempts", html`about <span class="num">${number(s.attempts)}</span>`],
      ["Events", html`about <span class="num">${number(s.events)}</span>`],
      ["Oldest attempt", html`<${Time} at=${s.oldest_attempt_at} />`],
    ]} /><p class="muted small gap">Totals for all apps.</p><//>
    <${Card} title="Cleanup"><${Facts} items=${[
      [
        "Last cleanup",
        r.last_sweep ? html`<${Time} at=${r.last_sweep.at} />` : html`<span class="muted">None since the server started</span>`,
      ],
      r.last_sweep && [
        "Removed",
        html`<span class="num">${plural(r.last_sweep.attempts, "attempt")}, ${plural(r.last_sweep.events, "event")}</span>`,
      ],
      ["Next cleanup", r.next_sweep_at ? html`<${Due} at=${r.next_sweep_at} />` : html`<span class="muted">–</span>`],
    ]} /><//><//>`;
}

function Policy({ view, onSaved }) {
  const open = PARTS.filter(([name]) => view[name].source !== "configuration").map(([name]) => name);
  const [editing, setEditing] = useState(false);
  const form = useForm({
    initial: Object.fromEntries(PARTS.map(([name]) => [name, view[name].value])),
    submit: async (values) => {
      const change = Object.fromEntries(open.map((name) => [name, values[name].trim() || null]));
      const shorter = open.filter((name) => change[name] && lasts(change[name]) < lasts(view[name].value));
      const save = async () => {
        await put("admin/api/retention", change);
      };
      if (shorter.length) {
        let refused = null;
        // Errors belong next to the fields, so the question is closed in either case.
        const sure = await confirm({
          title: "Keep data for a shorter time?",
          danger: true,
          action: "Keep less",
          act: () =>
            save().catch((e) => {
              refused = e;
            }),
          text: html`<p>The next cleanup permanently removes everything older than the new policy.</p>`,
        });
        if (refused) throw refused;
        if (!sure) return;
      } else await save();
      toast("Policy updated.");
      setEditing(false);
      onSaved();
    },
  });
  if (!editing) {
    return html`<div class="stack"><dl class="policies">${PARTS.map(([name, title, what]) => html`<div><dt><strong>${title}</strong><small class="muted">${what}</small></dt><dd><span class="policy-value">${isForever(view[name].value) ? "Kept forever" : `Kept for ${inWords(view[name].value)}`}</span> <${Source} source=${view[name].source} name=${name} /></dd></div>`)}</dl>
      ${may("owner") && open.length > 0 && html`<div><button type="button" class="button" onClick=${() => setEditing(true)}>Change</button></div>`}</div>`;
  }
  return html`<${Form} form=${form} footer=${html`<${Submit} form=${form}>Save<//><button type="button" class="button" onClick=${() => setEditing(false)}>Cancel</button>`}><div class="two">
    ${PARTS.map(([name, title]) =>
      open.includes(name)
        ? html`<${Field} form=${form} name=${name} label="Keep ${title.toLowerCase()} for" spellcheck="false" autocomplete="off" placeholder="30d" hint="For example 12h or 30d. 0 keeps data forever; leave empty for the default." />`
        : html`<div class="field"><strong>Keep ${title.toLowerCase()} for</strong><span>${inWords(view[name].value)} <${Source} source="configuration" name=${name} /></span></div>`,
    )}</div><//>`;
}

const UNIT = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };
function lasts(value) {
  const [, n, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(value) ?? [];
  return isForever(value) ? Infinity : unit ? Number(n) * UNIT[unit] : Infinity;
}

function Source({ source, name }) {
  if (source === "configuration")
    return html`<${Badge} tone="info" icon="logs" hint="retention.${name} is set in the configuration, which takes precedence over this page.">Set in the configuration<//>`;
  return source === "page"
    ? html`<${Badge} tone="off" icon="account">Set here<//>`
    : html`<${Badge} tone="off" icon="minus">Default<//>`;
}
