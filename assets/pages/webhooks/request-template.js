// The request that a webhook makes of an event, for reading. Secrets are masked by the server.
import { html } from "../../ui.js";
import { request } from "../../api.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { rawAt } from "../../components/json-text.js";
import { JsonView } from "../../components/json.js";
import { useLoad } from "../../components/load.js";
import { Card, Facts } from "../../components/page.js";
import { Headers } from "../deliveries/exchange.js";

const CONTENT = { json: "JSON", form: "Form", text: "Text", payload: "The payload, unchanged", none: "No body" };
const names = (object) => Object.keys(object ?? {});

export function RequestTemplate({ id, a }) {
  const r = a.request;
  // The text of the body, because parsing would round large numbers.
  const body = useLoad(
    async (signal) => rawAt(await (await request("GET", `v1/webhooks/${encodeURIComponent(id)}`, { signal, raw: true })).text(), ["data", "attributes", "request", "body"]),
    [id, a.updated_at],
  );
  const text = r.content === "text" ? r.body : body.data === "null" ? null : body.data;
  return html`<${Card} title="Request" actions=${may("admin") && html`<a class="button small" href=${href(`webhooks/${id}/edit`)}>Edit</a>`}><div class="request-template">
    <p class="muted">Templates, such as <code>{{ summary.title }}</code>, stand for values of the event.</p>
    <div class="line"><span class="method">${r.method ?? "POST"}</span><span class="mono anywhere">${a.url}</span></div>
    ${text ? html`<${JsonView} text=${text} label="Body" />` : html`<p class="muted">${CONTENT[r.content]}</p>`}
    <${Headers} headers=${r.query} label="Query" open />
    <${Headers} headers=${r.headers} label="Headers" open />
    <${Facts} items=${[
      ["Content", CONTENT[r.content] ?? "JSON"],
      r.content_type && ["Content type", r.content_type],
      ["Signed", r.sign === false ? "No" : "Yes"],
      r.expect && ["Expected response", html`<code class="anywhere">${r.expect}</code>`],
      r.final?.length > 0 && ["Final statuses", html`<span class="num">${r.final.join(", ")}</span>`],
      r.retry_after && ["Pause in the response", html`<code class="anywhere">${r.retry_after.pointer}</code> <span class="muted">in ${r.retry_after.unit}</span>`],
      names(a.secrets).length > 0 && ["Secrets", html`${names(a.secrets).join(", ")} <span class="muted">never shown</span>`],
    ]} /></div><//>`;
}
