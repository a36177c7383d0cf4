// Request and response of one attempt: bodies are open, headers closed.
import { html } from "../../ui.js";
import { duration } from "../../format.js";
import { Code } from "../../components/badge.js";
import { JsonView } from "../../components/json.js";
import { CopyButton } from "../../components/text.js";

/** Names and values, folded unless `open`. A value of a query may be a list. */
export function Headers({ headers, label, open }) {
  const all = Object.entries(headers ?? {});
  if (!all.length) return null;
  return html`<details class="headers" open=${open}>
    <summary>${label} <span class="muted num">${all.length}</span></summary>
    <dl>
      ${all.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${Array.isArray(value) ? value.join(", ") : value}</dd>
          </div>`,
      )}
    </dl>
  </details>`;
}

/** `H` is the heading’s level. */
export function Request({ a, H }) {
  const r = a.request;
  if (!r)
    return html`<section aria-label="Request">
      <${H}>Request<//>
      <p class="muted">
        ${a.status === "pending" ? "Not sent yet. The exact request will appear here." : "Nothing was sent."}
      </p>
      <div class="line"><span class="method">POST</span><span class="mono anywhere">${a.endpoint_url}</span></div>
    </section>`;
  // Without the X-Webhook headers the body was rendered for the receiver, and is not the payload.
  const label = Object.keys(r.headers ?? {}).some((name) => name.toLowerCase() === "x-webhook-event") ? "Payload" : "Request body";
  return html`<section aria-label="Request">
    <${H}>${label}<//>
    <${JsonView} text=${r.body} label=${label} empty=${r.method === "GET" || r.method === "DELETE" ? "The request had no body." : "The payload is no longer kept."} />
    <div class="line">
      <span class="method">${r.method}</span><span class="mono anywhere">${r.url}</span
      ><${CopyButton} text=${r.url} label="Copy" what="Copy URL" />
    </div>
    <${Headers} headers=${r.headers} label="Request headers" />
  </section>`;
}

/** `of` says which attempt’s response it is, when another one is shown. */
export function Response({ a, H, of }) {
  const r = a.response;
  return html`<section aria-label="Response">
    <${H}>Response${of && html` <span class="muted small">of attempt ${of}</span>`}<//> ${
      !r
        ? html`<p class="muted">
            ${a.status === "pending" ? "None yet." : a.request ? "No response arrived." : "Nothing was sent, so there is no response."}
          </p>`
        : html`<div class="line">
              <${Code} status=${r.status} /><span class="muted num">in ${duration(a.response_time_ms)}</span>
            </div>
            <${JsonView}
              text=${r.body}
              label="Response body"
              truncated=${r.body_truncated}
              empty="The response had no body."
            />
            <${Headers} headers=${r.headers} label="Response headers" />`
    }
  </section>`;
}

/** The request as a shell command, with everything quoted so that the shell runs nothing in it. */
export function curl({ method, url, headers, body }) {
  const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
  const lines = [`curl -X ${method} ${quoted(url)}`];
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (name !== "content-length" && name !== "host") lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body) lines.push(`--data-raw ${quoted(body)}`);
  return lines.join(" \\\n  ");
}
