// One side of the gallery: what is in use, then a card for each program.
import { html } from "../../ui.js";
import { STATE } from "../../format.js";
import { href } from "../../router.js";
import { may, now } from "../../state.js";
import { Badge, StatusBadge } from "../../components/badge.js";
import { Icon } from "../../components/icon.js";
import { EmptyState, ErrorState, Skeleton } from "../../components/states.js";
import { Time } from "../../components/time.js";
import { stateOf } from "../sources/words.js";

/** So many that are in use are listed. */
const LISTED = 6;

/** States that need attention come first. */
const TONES = ["bad", "warn", "ok", "info", "off"];
const byRank = (rank) => (a, b) => {
  const [one, other] = [rank(a), rank(b)];
  return one[0] - other[0] || one[1] - other[1];
};

export const SOURCES = {
  title: "Sources",
  text: "Programs that send to Postrider",
  icon: "source",
  none: "No sources yet. Choose the program that should send.",
  more: "All sources",
  list: () => href("integrations/sources"),
  open: (id) => href(`integrations/sources/${id}`),
  add: (name) => href("integrations/sources/new", { preset: name }),
  other: { title: "Without a recipe", text: "Choose every setting yourself", href: () => href("integrations/sources/new") },
  needs: ({ source }) => protection(source?.verify ?? []),
  state: ({ attributes: a }) => {
    const { word, tone, icon, text } = stateOf(a, now.value);
    return html`<${Badge} tone=${tone} icon=${icon} hint=${text}>${word}<//>`;
  },
  last: ({ attributes: a }) => a.last_request_at,
  rank: ({ attributes: a }) => [TONES.indexOf(stateOf(a, now.value).tone), -Date.parse(a.last_request_at ?? 0)],
};

export const DESTINATIONS = {
  title: "Destinations",
  text: "Programs that receive from Postrider",
  icon: "webhooks",
  none: "No destinations yet. Choose the program that should receive.",
  more: "All webhooks",
  list: () => href("webhooks"),
  open: (id) => href(`webhooks/${id}`),
  add: (name, events) => href("webhooks/new", { preset: name, events }),
  other: { title: "Without a recipe", text: "A plain webhook, or a request of your own", href: (events) => href("webhooks/new", { events }) },
  needs: ({ inputs }) => inputs.map((input) => input.label).join(", "),
  state: ({ attributes: { health } }) => html`<${StatusBadge} of="state" status=${health.state} hint=${STATE[health.state]?.hint ?? health.message} />`,
  last: () => null,
  rank: ({ attributes: { health } }) => [TONES.indexOf(STATE[health.state]?.tone ?? "off"), 0],
};

const SIGNED = ["hmac", "standard", "stripe", "slack"];

/** What protects the URL, in two words. */
function protection(verify) {
  if (verify.some((v) => SIGNED.includes(v.kind))) return "Signed requests";
  if (verify.some((v) => v.kind === "basic")) return "User name and password";
  return verify.length ? "Token" : "Only the URL is secret";
}

export function Side({ side, recipes, used, q, events }) {
  const matches = ({ attributes: a }) => `${a.title} ${a.name.replaceAll("_", " ")}`.toLowerCase().includes(q);
  const found = recipes.data?.filter(matches);
  const titles = new Map((recipes.data ?? []).map((r) => [r.id, r.attributes.title]));
  const count = (name) => (used.data ?? []).filter((u) => u.attributes.preset?.name === name).length;
  const inUse = (used.data ?? []).filter((u) => !q || `${u.attributes.name} ${titles.get(u.attributes.preset?.name) ?? ""}`.toLowerCase().includes(q)).sort(byRank(side.rank));
  // In use first; the order of the gallery otherwise.
  const sorted = found && [...found].sort((a, b) => (count(b.id) > 0) - (count(a.id) > 0) || a.attributes.title.localeCompare(b.attributes.title));
  return html`<section class="gallery-side" aria-label=${side.title}>
    <header><h2><${Icon} name=${side.icon} /> ${side.title}</h2><p class="muted">${side.text}</p></header>
    <${InUse} side=${side} used=${used} rows=${inUse} titles=${titles} q=${q} />
    ${
      !sorted
        ? recipes.error
          ? html`<${ErrorState} error=${recipes.error} retry=${recipes.reload} />`
          : html`<${Skeleton} lines=${6} />`
        : sorted.length
          ? html`<ul class="tiles">${sorted.map((r) => html`<${Tile} key=${r.id} side=${side} recipe=${r.attributes} count=${count(r.id)} events=${events} />`)}
            ${!q && html`<${Other} side=${side} events=${events} />`}</ul>`
          : html`<${EmptyState} title="No matches" text="No program of this name. Any program that can send or take HTTP requests works without a recipe.">${may("admin") && html`<a class="button" href=${side.other.href(events)}>${side.other.title}</a>`}<//>`
    }</section>`;
}

function InUse({ side, used, rows, titles, q }) {
  if (used.error && !used.data) return html`<${ErrorState} error=${used.error} retry=${used.reload} />`;
  if (!used.data) return html`<div class="card padded"><${Skeleton} lines=${2} /></div>`;
  if (!rows.length) return q ? null : html`<p class="muted in-use-none">${side.none}</p>`;
  return html`<section class="card flush" aria-label="${side.title} in use"><header><h3>In use</h3><a class="button small" href=${side.list()}>${side.more}</a></header>
    <ul class="in-use">${rows.slice(0, LISTED).map((row) => {
      const at = side.last(row);
      return html`<li key=${row.id}><a href=${side.open(row.id)}><span class="in-use-name"><strong class="cut">${row.attributes.name}</strong><small class="muted cut">${titles.get(row.attributes.preset?.name) ?? "Without a recipe"}${at && html`, last request <${Time} at=${at} />`}</small></span>${side.state(row)}</a></li>`;
    })}</ul>
    ${rows.length > LISTED && html`<p class="in-use-more muted small">and ${rows.length - LISTED} more</p>`}</section>`;
}

function Tile({ side, recipe, count, events }) {
  const inside = html`<span class="tile-mark" aria-hidden="true" data-letter=${[...recipe.title][0]}></span>
    <span class="tile-words"><strong>${recipe.title}</strong><small class="muted">${side.needs(recipe)}</small></span>
    ${count > 0 && html`<${Badge} tone="ok" icon="check">${count === 1 ? "In use" : `${count} in use`}<//>`}`;
  return html`<li>${may("admin") ? html`<a class="tile" href=${side.add(recipe.name, events)}>${inside}</a>` : html`<span class="tile">${inside}</span>`}</li>`;
}

function Other({ side, events }) {
  if (!may("admin")) return null;
  return html`<li><a class="tile other" href=${side.other.href(events)}><span class="tile-mark" aria-hidden="true"><${Icon} name="plus" /></span><span class="tile-words"><strong>${side.other.title}</strong><small class="muted">${side.other.text}</small></span></a></li>`;
}
