// Chooses a webhook by typing a part of its name or URL: an app may have thousands, so the server searches.
import { cx, html, useEffect, useId, useRef, useState } from "../ui.js";
import { get } from "../api.js";
import { number } from "../format.js";
import { appId } from "../state.js";

/** So many are offered at once; typing narrows them down. */
const OFFERED = 20;
const PAUSE_MS = 200;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const nameOf = ({ attributes: a }) => a.name || a.url;

/** Names by id, for what is chosen but not in the list that is open. */
const names = new Map();
const remember = (webhooks) => webhooks.forEach((w) => names.set(w.id, nameOf(w)));

/** The name of a webhook of this app, a deleted one included if the caller knows it from its attempts. */
export async function webhookName(id, signal) {
  if (!names.has(id)) {
    if (!UUID.test(id)) return null;
    try {
      remember([(await get(`v1/webhooks/${encodeURIComponent(id)}`, {}, { signal })).data]);
    } catch (error) {
      if (error.status !== 404) return null;
      names.set(id, "A deleted webhook");
    }
  }
  return names.get(id);
}

/**
 * `value` is an id or empty, which is called `any`. `known` is the chosen one's name where the page has it already.
 * `offers` says which of the found ones may be chosen. The list stands below the field, in the flow when `inline`.
 */
export function WebhookPicker({ id, label, any, value, known, offers = () => true, onChange, inline, ...rest }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const [found, setFound] = useState({ options: [], more: 0, state: "loading" });
  const [at, setAt] = useState(0);
  const [name, setName] = useState(null);
  const list = useId();
  const field = useRef(null);

  useEffect(() => {
    if (!value || known) return setName(known ?? null);
    const stop = new AbortController();
    setName(names.get(value) ?? null);
    webhookName(value, stop.signal).then(
      (it) => stop.signal.aborted || setName(it ?? "One webhook"),
      () => {},
    );
    return () => stop.abort();
  }, [value, known]);

  useEffect(() => {
    if (!open) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(
      async () => {
        try {
          const query = { q: text.trim(), per_page: OFFERED };
          const { data, meta } = await get("v1/webhooks", query, { signal: stop.signal });
          remember(data);
          const options = data.filter(offers).map((w) => ({ id: w.id, name: nameOf(w), url: w.attributes.url }));
          setFound({ options, more: meta.total - data.length, capped: meta.total_capped, state: "there" });
          // The first match, once something was typed; "any" before.
          setAt(text.trim() && options.length ? 1 : 0);
        } catch (error) {
          if (!stop.signal.aborted) setFound({ options: [], more: 0, state: error.message });
        }
      },
      text ? PAUSE_MS : 0,
    );
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [open, text, appId.value]);

  const options = [{ id: "", name: any }, ...found.options];
  const show = () => {
    if (open) return;
    setText("");
    setAt(0);
    setOpen(true);
  };
  const close = () => setOpen(false);
  const pick = (option) => {
    close();
    if (option.id) names.set(option.id, option.name);
    if (option.id !== value) onChange(option.id, option.name);
  };
  const keys = (e) => {
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      if (open) setAt((to + options.length) % options.length);
      else show();
    } else if (e.key === "Enter" && open) {
      e.preventDefault();
      if (found.state !== "loading") pick(options[at] ?? options[0]);
    } else if (e.key === "Escape" && open) {
      // The dialog around it stays.
      e.preventDefault();
      e.stopPropagation();
      close();
    }
  };
  useEffect(() => {
    if (open) document.getElementById(`${list}-${at}`)?.scrollIntoView({ block: "nearest" });
  }, [open, at]);

  return html`<div class=${cx("picker", inline && "inline", value && "chosen")}>
    <input
      ...${rest}
      id=${id}
      ref=${field}
      class="choice"
      role="combobox"
      aria-label=${label}
      aria-expanded=${open}
      aria-controls=${list}
      aria-autocomplete="list"
      aria-activedescendant=${open ? `${list}-${at}` : undefined}
      autocomplete="off"
      spellcheck="false"
      maxlength="200"
      value=${open ? text : value ? (name ?? "…") : any}
      placeholder=${open ? "Type a name or URL" : any}
      title=${value && !open ? name : undefined}
      onFocus=${show}
      onClick=${show}
      onInput=${(e) => {
        show();
        setText(e.target.value);
      }}
      onKeyDown=${keys}
      onBlur=${close}
    />
    <div class="picker-pop" hidden=${!open} onMouseDown=${(e) => e.preventDefault()}>
    <ul class="picker-list" id=${list} role="listbox" aria-label=${label ?? "Webhooks"}>
      ${options.map(
        (option, i) =>
          html`<li
            key=${option.id}
            id="${list}-${i}"
            role="option"
            aria-selected=${option.id === value}
            class=${cx(i === at && "active")}
            onClick=${() => pick(option)}
          >
            <span class="cut">${option.name}</span>${option.url && option.url !== option.name && html`<small class="cut">${option.url}</small>`}
          </li>`,
      )}
    </ul>
    ${open && html`<${Below} found=${found} />`}</div>
  </div>`;
}

/** What stands below the options; a list of options may hold nothing else. */
function Below({ found: { options, more, capped, state } }) {
  const words =
    state === "loading"
      ? "Searching…"
      : state !== "there"
        ? state
        : !options.length
          ? "No webhooks match"
          : more > 0
            ? `${number(more)}${capped ? "+" : ""} more: type to narrow the list`
            : "";
  return words ? html`<p class="picker-below" role="status">${words}</p>` : null;
}
