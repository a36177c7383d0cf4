// Why a signature does not hold: takes what a receiver got, and says which of the reasons it is.
import { html, useState } from "../../ui.js";
import { post } from "../../api.js";
import { Badge } from "../../components/badge.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { Note } from "../../components/states.js";

/** The reasons in a few words; the server's sentence says what to do. */
const REASONS = {
  header_missing: "A header is missing",
  header_malformed: "A header is malformed",
  header_changed: "A header was changed",
  timestamp_outside_tolerance: "Too early or too late",
  body_reserialised: "The body was parsed and written anew",
  body_changed: "The body was changed",
  body_decrypted: "The body was decrypted first",
  old_secret: "An old secret",
  other_webhook: "The secret of another webhook",
  wrong_secret: "Another secret",
};
const SCHEMES = { standard_webhooks: "Standard Webhooks", hmac_sha256: "Plain HMAC" };
const words = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/**
 * Headers as people have them at hand: lines of `Name: value`, as a log or `curl -v` prints them (with `<` or `>` in
 * front), or a JSON object. What is none of these is left out, such as the request line.
 */
export function readHeaders(text) {
  const trimmed = text.trim();
  if (trimmed.startsWith("{")) {
    try {
      return JSON.parse(trimmed);
    } catch {
      /* Not JSON after all. */
    }
  }
  const headers = {};
  for (const line of trimmed.split("\n")) {
    const [, name, value] = /^[<>\s"']*([\w!#$%&'*+.^`|~-]+?)["']?\s*:\s*["']?(.*?)["',\s]*$/.exec(line) ?? [];
    if (!name) continue;
    const key = name.toLowerCase();
    headers[key] = key in headers ? [headers[key], value].flat() : value;
  }
  return headers;
}

export function CheckRequest({ id }) {
  const [result, setResult] = useState(null);
  const form = useForm({
    initial: { headers: "", body: "", received_at: "" },
    submit: async ({ headers, body, received_at: at }) => {
      setResult(null);
      const answer = await post(`v1/webhooks/${encodeURIComponent(id)}/verify`, {
        headers: readHeaders(headers),
        body,
        ...(at.trim() ? { received_at: at.trim() } : {}),
      });
      setResult(answer.data.attributes);
    },
  });
  return html`<div class="stack">
    <p class="muted">A receiver refuses a request, and it is not clear why? Paste what it got. Nothing is sent or stored.</p>
    <${Form} form=${form} footer=${html`<${Submit} form=${form}>Check the signature<//>`}>
      <${Field} form=${form} name="headers" label="Headers" as="textarea" rows="6" spellcheck="false" class="mono" autocomplete="off"
        placeholder=${"webhook-id: …\nwebhook-timestamp: …\nwebhook-signature: v1,…"} hint="One a line, or a JSON object. Those that have nothing to do with signatures are ignored." />
      <${Field} form=${form} name="body" label="Body" as="textarea" rows="6" spellcheck="false" class="mono" autocomplete="off"
        hint="Exactly as it was received, before anything has parsed it: a space more or less changes the signature." />
      <${Field} form=${form} name="received_at" label="Received at" optional placeholder="2026-05-01T05:14:38Z" autocomplete="off" hint="RFC 3339; now unless given." />
    <//>
    <div aria-live="polite">${result && html`<${Judged} result=${result} />`}</div>
  </div>`;
}

function Judged({ result: r }) {
  return html`<div class="stack">
    <${Note} tone=${r.valid ? "ok" : "bad"}>${!r.valid && html`<strong>${REASONS[r.reason] ?? words(r.reason)}.</strong>${" "}`}${r.detail}<//>
    ${
      r.checks.length > 1 &&
      html`<ul class="checks">
        ${r.checks.map(
          (c) =>
            html`<li>
              <${Badge} tone=${c.valid ? "ok" : "bad"} icon=${c.valid ? "check" : "cross"}>${c.valid ? "Holds" : (REASONS[c.reason] ?? words(c.reason))}<//>
              <div><strong>${SCHEMES[c.scheme] ?? c.scheme}</strong> <code>${c.header}</code>${!c.valid && html`<p class="muted">${c.detail}</p>`}</div>
            </li>`,
        )}
      </ul>`
    }
  </div>`;
}
