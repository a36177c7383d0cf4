// Finds out why a signature fails to verify, from the request that a receiver got.
import { html, useState } from "../../ui.js";
import { post } from "../../api.js";
import { Badge } from "../../components/badge.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { Note } from "../../components/states.js";

/** The reasons in a few words; the server’s sentence says how to fix it. */
const REASONS = {
  header_missing: "A header is missing",
  header_malformed: "A header is malformed",
  header_changed: "A header was changed",
  timestamp_outside_tolerance: "Too early or too late",
  body_reserialised: "The body was parsed and re-serialized",
  body_changed: "The body was changed",
  body_decrypted: "The body was decrypted first",
  old_secret: "An old secret",
  other_webhook: "The secret of another webhook",
  wrong_secret: "Another secret",
};
const SCHEMES = { standard_webhooks: "Standard Webhooks", hmac_sha256: "Plain HMAC" };
const words = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/** Longer input is not read: a request’s headers are far smaller. */
const LONGEST = 200_000;
const QUOTES = "\"',";

/**
 * Headers in the forms that people have at hand: lines of `Name: value`, as a log or `curl -v` prints them (with `<` or
 * `>` in front), or a JSON object. Other lines, such as the request line, are left out.
 */
export function readHeaders(text) {
  const trimmed = text.slice(0, LONGEST).trim();
  if (trimmed.startsWith("{")) {
    try {
      return JSON.parse(trimmed);
    } catch {
      /* Not JSON after all. */
    }
  }
  const found = new Map();
  for (const line of trimmed.split("\n")) {
    const colon = line.indexOf(":");
    const name = without(line.slice(0, Math.max(0, colon)), `<>${QUOTES}`).toLowerCase();
    if (!/^[\w!#$%&*+.^`|~-]+$/.test(name)) continue;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(without(line.slice(colon + 1), QUOTES));
  }
  return Object.fromEntries([...found].map(([name, values]) => [name, values.length > 1 ? values : values[0]]));
}

/** Without these characters and white space at both ends, in one pass over each end. */
function without(text, characters) {
  const drop = (c) => characters.includes(c) || /\s/.test(c);
  let begin = 0,
    end = text.length;
  while (begin < end && drop(text[begin])) begin += 1;
  while (end > begin && drop(text[end - 1])) end -= 1;
  return text.slice(begin, end);
}

export function CheckRequest({ id }) {
  const [result, setResult] = useState(null);
  const form = useForm({
    initial: { headers: "", body: "", received_at: "" },
    submit: async ({ headers, body, received_at: at }) => {
      setResult(null);
      const response = await post(`v1/webhooks/${encodeURIComponent(id)}/verify`, {
        headers: readHeaders(headers),
        body,
        ...(at.trim() ? { received_at: at.trim() } : {}),
      });
      setResult(response.data.attributes);
    },
  });
  return html`<div class="stack">
    <p class="muted">Is your receiver rejecting requests? Paste what it received to find out why. Nothing is sent or stored.</p>
    <${Form} form=${form} footer=${html`<${Submit} form=${form}>Check the signature<//>`}>
      <${Field} form=${form} name="headers" label="Headers" as="textarea" rows="6" spellcheck="false" class="mono" autocomplete="off"
        placeholder=${"webhook-id: …\nwebhook-timestamp: …\nwebhook-signature: v1,…"} hint="One header per line, or a JSON object. Unrelated headers are ignored." />
      <${Field} form=${form} name="body" label="Body" as="textarea" rows="6" spellcheck="false" class="mono" autocomplete="off"
        hint="Exactly as received, before it was parsed: one space more or less changes the signature." />
      <${Field} form=${form} name="received_at" label="Received at" optional placeholder="2026-05-01T05:14:38Z" autocomplete="off" hint="RFC 3339, such as 2026-05-01T05:14:38Z. Default: now." />
    <//>
    <div aria-live="polite">${result && html`<${Result} result=${result} />`}</div>
  </div>`;
}

function Result({ result: r }) {
  return html`<div class="stack">
    <${Note} tone=${r.valid ? "ok" : "bad"}>${!r.valid && html`<strong>${REASONS[r.reason] ?? words(r.reason)}.</strong>${" "}`}${r.detail}<//>
    ${
      r.checks.length > 1 &&
      html`<ul class="checks">
        ${r.checks.map(
          (c) =>
            html`<li>
              <${Badge} tone=${c.valid ? "ok" : "bad"} icon=${c.valid ? "check" : "cross"}>${c.valid ? "Valid" : (REASONS[c.reason] ?? words(c.reason))}<//>
              <div><strong>${SCHEMES[c.scheme] ?? c.scheme}</strong> <code>${c.header}</code>${!c.valid && html`<p class="muted">${c.detail}</p>`}</div>
            </li>`,
        )}
      </ul>`
    }
  </div>`;
}
