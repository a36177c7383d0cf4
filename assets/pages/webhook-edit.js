// A webhook made or changed. After it is made, its signing secret is shown, once.
import { html, useState } from "../ui.js";
import { get, patch, post } from "../api.js";
import { go, href } from "../router.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useLoad } from "../components/load.js";
import { Card, Page } from "../components/page.js";
import { SecretOnce } from "../components/secret.js";
import { ErrorState, Skeleton } from "../components/states.js";
import { toast } from "../components/toast.js";
import { HeadersField, headersOf, rowsOf } from "./webhooks/headers.js";
import { PatternField } from "./webhooks/patterns.js";
import { ScheduleField, waitsOf } from "./webhooks/schedule.js";
import { TestCard } from "./webhooks/test.js";

export default function WebhookEdit({ params }) {
  const { id } = params;
  const webhook = useLoad(
    async (signal) => (id ? (await get(`v1/webhooks/${encodeURIComponent(id)}`, {}, { signal })).data : null),
    [id],
  );
  const [made, setMade] = useState(null);
  const name = webhook.data?.attributes.name;
  const back = id
    ? html`<a class="back" href=${href(`webhooks/${id}`)}><${Icon} name="left" size=${14} />${name || "Webhook"}</a>`
    : html`<a class="back" href=${href("webhooks")}><${Icon} name="left" size=${14} />Webhooks</a>`;
  if (made) return html`<${Made} webhook=${made} />`;
  return html`<${Page} narrow title=${id ? `Edit ${name ?? "webhook"}` : "New webhook"} back=${back}>
    <${Card}>${
      webhook.error
        ? html`<${ErrorState} title=${webhook.error.status === 404 ? "There is no such webhook" : undefined} error=${webhook.error} retry=${webhook.error.status === 404 ? null : webhook.reload} />`
        : webhook.data === undefined
          ? html`<${Skeleton} lines=${8} />`
          : html`<${Editor} webhook=${webhook.data} onMade=${setMade} />`
    }<//><//>`;
}

function initialOf(a) {
  return {
    url: a?.url ?? "",
    name: a?.name ?? "",
    description: a?.description ?? "",
    events: a?.events ?? [],
    headers: rowsOf(a?.headers),
    retry: !a?.retry_schedule ? "configured" : a.retry_schedule.length ? "own" : "none",
    retry_schedule: a?.retry_schedule?.join(", ") ?? "",
    timeout: a?.timeout ?? "",
    rate_limit: a?.rate_limit ? String(a.rate_limit) : "",
    encrypted: a?.encrypted ?? false,
  };
}

/** What the API is told; null takes a choice back. */
function bodyOf(v) {
  const limit = v.rate_limit.trim();
  return {
    url: v.url.trim(),
    name: v.name.trim() || null,
    description: v.description.trim() || null,
    events: v.events,
    headers: headersOf(v.headers),
    encrypted: v.encrypted,
    retry_schedule: v.retry === "configured" ? null : v.retry === "none" ? [] : waitsOf(v.retry_schedule),
    timeout: v.timeout.trim() || null,
    rate_limit: limit ? (/^\d+$/.test(limit) ? Number(limit) : limit) : null,
  };
}

function Editor({ webhook, onMade }) {
  const types = useLoad(async (signal) => (await get("v1/event-types", { per_page: 200 }, { signal })).data);
  const about = useLoad((signal) => get("admin/api/about", {}, { signal }));
  const configured = about.data?.delivery;
  const form = useForm({
    initial: initialOf(webhook?.attributes),
    submit: async (values) => {
      const body = bodyOf(values);
      if (!webhook) {
        onMade((await post("v1/webhooks", body)).data);
        scrollTo(0, 0);
        return;
      }
      const { data } = await patch(`v1/webhooks/${encodeURIComponent(webhook.id)}`, body);
      toast(`${data.attributes.name} is changed.`);
      go(`webhooks/${webhook.id}`);
    },
  });
  return html`<${Form} form=${form} className="spacious" footer=${html`<${Submit} form=${form}>${webhook ? "Save changes" : "Make webhook"}<//><a class="button" href=${href(webhook ? `webhooks/${webhook.id}` : "webhooks")}>Cancel</a>`}>
    <${Field} form=${form} name="url" label="URL" type="url" placeholder="https://example.com/hooks" required maxlength="2048" spellcheck="false" autocapitalize="none" hint="Where events are sent. Addresses of private networks must be allowed in the configuration." />
    <${Field} form=${form} name="name" label="Name" optional maxlength="100" hint="Without one, the host of the URL." />
    <${Field} form=${form} name="description" label="Description" optional as="textarea" rows="2" maxlength="500" className="low" />
    <${PatternField} form=${form} types=${types.data} />
    <${ScheduleField} form=${form} configured=${configured?.retry_schedule} />
    <div class="two">
      <${Field} form=${form} name="timeout" label="Timeout" optional placeholder=${configured?.timeout ?? "10s"} spellcheck="false" autocomplete="off" hint="For the whole request, up to 30s." />
      <${Field} form=${form} name="rate_limit" label="Rate limit" optional inputmode="numeric" placeholder="No limit" autocomplete="off" hint="Requests a second, up to 10,000." /></div>
    <${HeadersField} form=${form} />
    <${Field} form=${form} as="checkbox" name="encrypted" label="Encrypt bodies" hint="Sent as a JWE (AES-256-GCM) that only the holder of the signing secret can open. The receiver must decrypt it." />
  <//>`;
}

function Made({ webhook }) {
  const { id, attributes: a } = webhook;
  return html`<${Page} narrow title="${a.name} is ready" back=${html`<a class="back" href=${href("webhooks")}><${Icon} name="left" size=${14} />Webhooks</a>`}>
    <${Card} title="Signing secret"><div class="stack"><${SecretOnce} items=${[["Signing secret", a.signing_secret]]}>The receiver needs it to verify signatures. It is shown this once; if it is lost, rotate it.<//></div><//>
    <${TestCard} id=${id} />
    <div class="page-actions"><a class="button primary" href=${href(`webhooks/${id}`)}>Go to the webhook</a><a class="button" href=${href(`webhooks/${id}`, { part: "verification" })}>Code for the receiver</a></div><//>`;
}
