// The gallery: programs that send (sources) and programs that receive (destinations). What is in use comes first.
import { html, useRef } from "../ui.js";
import { get, getAll } from "../api.js";
import { amend, href, route } from "../router.js";
import { may } from "../state.js";
import { Icon } from "../components/icon.js";
import { useKeys } from "../components/keyboard.js";
import { useEvery, useLoad } from "../components/load.js";
import { Page } from "../components/page.js";
import { choose } from "./deliveries/filter.js";
import { Search } from "./deliveries/toolbar.js";
import { DESTINATIONS, SOURCES, Side } from "./integrations/side.js";

/** So many webhooks are looked at for the integrations in use: an app may have thousands. */
const LOOKED_AT = 400;

const SHOWN = [
  ["", "All"],
  ["sources", "Sources"],
  ["destinations", "Destinations"],
];

export default function Integrations() {
  const { query } = route.value;
  const q = (query.get("q") ?? "").trim().toLowerCase();
  const shown = SHOWN.some(([key]) => key === query.get("show")) ? query.get("show") : "";
  const events = query.get("events");
  const senders = useLoad(async (signal) => (await get("v1/gallery/sources", {}, { signal })).data);
  const receivers = useLoad(async (signal) => (await get("v1/gallery/destinations", {}, { signal })).data);
  const sources = useLoad(async (signal) => (await get("v1/sources", { per_page: 200 }, { signal })).data);
  const webhooks = useLoad(async (signal) => (await getAll("v1/webhooks", {}, { most: LOOKED_AT, signal })).filter((w) => w.attributes.preset));
  useEvery(15_000, sources.reload);
  const searchRef = useRef(null);
  useKeys({ "/": () => searchRef.current?.focus() });
  return html`<${Page} title="Integrations" intro="Sources take in the webhooks of other programs. Destinations turn events into messages for chat, phones and home automation." actions=${html`<a class="button" href=${href("integrations/sources")}>All sources</a>`}>
    <div class="toolbar" role="search" aria-label="Integrations"><${Search} inputRef=${searchRef} placeholder="Search programs" label="Search programs" />
      <div class="segmented" role="group" aria-label="Show">${SHOWN.map(([key, word]) => html`<button type="button" key=${key} aria-pressed=${shown === key} onClick=${() => amend({ show: key || null }, { replace: true })}>${word}</button>`)}</div>
      ${q && html`<button type="button" class="button quiet" onClick=${() => choose({ q: null })}><${Icon} name="cross" size=${14} />Clear</button>`}
      ${events && may("admin") && html`<span class="chip on given"><span class="cut">For ${events}</span><button type="button" aria-label="Remove the event type ${events}" onClick=${() => amend({ events: null }, { replace: true })}><${Icon} name="cross" size=${12} /></button></span>`}</div>
    <div class=${shown ? "gallery one" : "gallery"}>
      ${shown !== "destinations" && html`<${Side} side=${SOURCES} recipes=${senders} used=${sources} q=${q} />`}
      ${shown !== "sources" && html`<${Side} side=${DESTINATIONS} recipes=${receivers} used=${webhooks} q=${q} events=${events} />`}</div><//>`;
}
