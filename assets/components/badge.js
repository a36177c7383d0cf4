// States as word, icon and tone; never as a color alone.
import { html } from "../ui.js";
import { ATTEMPT, JOB, STATE } from "../format.js";
import { Icon } from "./icon.js";

const KINDS = { attempt: ATTEMPT, job: JOB, state: STATE };

/** Any word with an icon; `tone` is ok, bad, warn, info or off. */
export function Badge({ tone = "off", icon = "minus", hint, children }) {
  return html`<span class="badge ${tone}" title=${hint}><${Icon} name=${icon} size=${12} />${children}</span>`;
}

/** `<StatusBadge of="attempt" status="delivered" />`; `of` is a name in `KINDS`; `word` replaces its word. */
export function StatusBadge({ of = "attempt", status, word, hint, quiet }) {
  const known = KINDS[of][status] ?? { word: status, tone: "off", icon: "minus" };
  return html`<span class="badge ${known.tone} ${quiet ? "quiet" : ""}" title=${hint ?? known.hint}
    ><${Icon} name=${known.icon} size=${12} />${word ?? known.word}</span
  >`;
}

/** The HTTP status of a response, or the kind of failure. */
export function Code({ status, kind }) {
  if (status) return html`<span class="code ${status < 300 ? "ok" : status < 400 ? "warn" : "bad"}">${status}</span>`;
  return html`<span class="code none ${kind ? "" : "blank"}" title=${kind ? undefined : "No response yet"}
    >${kind ?? "–"}</span
  >`;
}
