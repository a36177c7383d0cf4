// One source: its state and URL, what arrived, how to set up the sender, previews, settings.
import { html, useState } from "../ui.js";
import { get } from "../api.js";
import { number } from "../format.js";
import { amend, go, href, route } from "../router.js";
import { may, now } from "../state.js";
import { Icon } from "../components/icon.js";
import { useEvery, useLoad } from "../components/load.js";
import { Menu } from "../components/menu.js";
import { Card, Page } from "../components/page.js";
import { EmptyState, ErrorState, Skeleton } from "../components/states.js";
import { Tabs } from "../components/tabs.js";
import { Time } from "../components/time.js";
import { pathOf, remove, setEnabled } from "./sources/actions.js";
import { Address, Rotate } from "./sources/address.js";
import { Requests } from "./sources/requests.js";
import { Settings } from "./sources/settings.js";
import { Setup } from "./sources/setup.js";
import { Try } from "./sources/try.js";
import { stateOf } from "./sources/words.js";

/** Parts of the page, by the parameter `part` of the address. */
const PARTS = [
  ["requests", "Requests"],
  ["setup", "Set up"],
  ["try", "Preview"],
  ["settings", "Settings"],
];

export default function Source({ params: { id } }) {
  const source = useLoad(async (signal) => (await get(pathOf(id), {}, { signal })).data, [id]);
  const gone = source.error?.status === 404;
  useEvery(10_000, source.reload, Boolean(source.data) && !gone);
  const [rotating, setRotating] = useState(false);
  const back = html`<a class="back" href=${href("integrations/sources")}><${Icon} name="left" size=${14} />Sources</a>`;
  if (gone)
    return html`<${Page} title="Source" back=${back}><${EmptyState} icon="source" title="Source not found" text="It belongs to another app, or it was deleted. Its events are kept."><a class="button" href=${href("integrations/sources")}>All sources</a><a class="button" href=${href("events")}>Events</a><//><//>`;
  if (!source.data)
    return html`<${Page} title="Source" back=${back}>${source.error ? html`<${ErrorState} error=${source.error} retry=${source.reload} />` : html`<${Card}><${Skeleton} lines=${6} /><//>`}<//>`;

  const row = source.data,
    a = row.attributes;
  const asked = route.value.query.get("part");
  // A source that has received nothing is set up first.
  const part = PARTS.some(([key]) => key === asked) ? asked : a.last_request_at ? "requests" : "setup";
  const turn = async (enabled) => {
    if (await setEnabled(row, enabled)) source.reload();
  };
  const actions =
    may("admin") &&
    html`<a class="button" href=${href(`integrations/sources/${id}/edit`)}>Edit</a>
    <${Menu} label="More actions" className="button icon-only" items=${[
      { label: "Rotate the URL", icon: "keys", run: () => setRotating(true) },
      null,
      ...(a.enabled ? [{ label: "Disable", icon: "minus", run: () => turn(false) }] : []),
      {
        label: "Delete",
        icon: "retention",
        danger: true,
        run: async () => {
          if (await remove(row)) go("integrations/sources");
        },
      },
    ]} />`;
  return html`<${Page} title=${a.name} back=${back} actions=${actions}>
    <${Head} a=${a} onEnable=${() => turn(true)} showUrl=${part !== "setup"} />
    <${Tabs} label="Source" tabs=${PARTS} current=${part} onChange=${(to) => amend({ part: to, open: null, page: null, cursor: null }, { replace: true })}>
      ${part === "setup" && html`<${Setup} source=${row} onChanged=${source.reload} />`}
      ${part === "requests" && html`<${Requests} source=${row} onChanged=${source.reload} />`}
      ${part === "try" && html`<${Try} source=${row} />`}
      ${part === "settings" && html`<${Settings} source=${row} />`}<//>
    ${rotating && html`<${Rotate} source=${row} onClose=${() => setRotating(false)} onDone=${source.reload} />`}
  <//>`;
}

const COUNTS = [
  ["accepted", "Accepted"],
  ["duplicate", "Duplicate"],
  ["ignored", "Ignored"],
  ["rejected", "Rejected"],
];

/** State, counts of 24 hours, and the URL unless it is shown below. */
function Head({ a, onEnable, showUrl }) {
  const { word, tone, icon, text } = stateOf(a, now.value);
  return html`<section class="headline ${tone}" aria-label="State">
      <${Icon} name=${icon} size=${20} />
      <div class="headline-words"><p><strong>${word}</strong>${a.last_request_at && html` <span class="muted small">last request <${Time} at=${a.last_request_at} /></span>`}</p><p>${text}</p></div>
      ${!a.enabled && may("admin") && html`<button type="button" class="button primary" onClick=${onEnable}><${Icon} name="play" size=${14} />Enable</button>`}
    </section>
    <${Card}><div class="stack">
      ${showUrl && html`<${Address} url=${a.url} />`}
      <div><p class="label">Requests of the last 24 hours</p><dl class="range-facts four">${COUNTS.map(([name, label]) => html`<div key=${name}><dt>${label}</dt><dd class="num">${number(a.counts_24h[name])}</dd></div>`)}</dl></div></div><//>`;
}
