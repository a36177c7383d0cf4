// Saved views of the delivery log: a name for search, filters and order, kept in this browser. The view itself is the
// address, so that a link to it works anywhere.
import { html, signal, useState } from "../../ui.js";
import { go, route } from "../../router.js";
import { Icon } from "../../components/icon.js";
import { Menu } from "../../components/menu.js";
import { toast } from "../../components/toast.js";
import { Dialog } from "../../components/dialog.js";
import { CopyButton } from "../../components/text.js";

const KEY = "postrider.views";
/** More would not fit into a menu. */
const MOST = 30;
const NAME_MAX = 60;

/** What belongs to a view: not the page or the row that is open, nor the app. */
const LEFT_OUT = ["page", "cursor", "open", "app"];

/** Views that everybody has. */
const BUILT_IN = [
  ["Failed in the last 24 hours", "status=exhausted&last=24h"],
  ["Pending after a failure", "status=pending&trigger=retry"],
  ["Slowest responses", "view=attempts&sort=-response_time_ms&last=24h"],
];

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    const isView = (v) => Array.isArray(v) && v.length === 2 && v.every((text) => typeof text === "string");
    return Array.isArray(kept) ? kept.filter(isView).slice(0, MOST) : [];
  } catch {
    return [];
  }
}

/** `[name, query]` in the order of their names. */
const views = signal(read());

function keep(changed) {
  views.value = changed.sort(([a], [b]) => a.localeCompare(b));
  try {
    localStorage.setItem(KEY, JSON.stringify(views.value));
  } catch {
    toast("This browser keeps nothing: the view is gone when the page is closed.", { tone: "bad" });
  }
}

/** The view that is shown, as text that can be compared. */
function current() {
  const query = new URLSearchParams(route.value.query);
  for (const name of LEFT_OUT) query.delete(name);
  query.sort();
  return query.toString();
}

const open = (query) => go(route.value.path, new URLSearchParams(query));

export function SavedViews() {
  const [saving, setSaving] = useState(false);
  const shown = current();
  const own = views.value.find(([, query]) => query === shown);
  const item = ([label, query]) => ({ label, current: query === shown, run: () => open(query) });
  const items = [
    ...(views.value.length ? [{ heading: "Saved in this browser" }, ...views.value.map(item), null] : []),
    { heading: "For a start" },
    ...BUILT_IN.map(item),
    null,
    own
      ? { label: `Delete “${own[0]}”`, icon: "retention", danger: true, run: () => keep(views.value.filter((v) => v !== own)) }
      : {
          label: "Save this view…",
          icon: "plus",
          disabled: !shown || views.value.length >= MOST,
          hint: shown ? null : "Choose a search, a filter or an order first",
          run: () => setSaving(true),
        },
  ];
  return html`<${Menu}
      label="Views"
      named
      button=${html`<span class="cut">${own ? own[0] : "Views"}</span><${Icon} name="down" size=${12} />`}
      items=${items}
    />${saving && html`<${Save} query=${shown} onClose=${() => setSaving(false)} />`}`;
}

function Save({ query, onClose }) {
  const [name, setName] = useState("");
  const taken = views.value.some(([known]) => known === name.trim());
  const save = (e) => {
    e.preventDefault();
    if (!name.trim()) return;
    keep([...views.value.filter(([known]) => known !== name.trim()), [name.trim(), query]]);
    toast(`View “${name.trim()}” saved in this browser.`);
    onClose();
  };
  const link = () => location.href.split("?")[0] + (query ? `?${query}` : "");
  return html`<${Dialog} title="Save this view" onClose=${onClose} footer=${html`<${CopyButton} text=${link} label="Copy link" quiet=${false} />
      <button type="button" class="button" onClick=${onClose}>Cancel</button><button type="submit" form="save-view" class="button primary">${taken ? "Replace" : "Save"}</button>`}>
    <form id="save-view" class="stack" onSubmit=${save}>
      <p>Saves search, filters and order under a name, in this browser. To share a view, copy its link.</p>
      <label>Name<input name="name" required maxlength=${NAME_MAX} value=${name} autocomplete="off" onInput=${(e) => setName(e.target.value)} /></label>
      ${taken && html`<p class="muted">A view of this name is saved already; it is replaced.</p>`}
    </form><//>`;
}
