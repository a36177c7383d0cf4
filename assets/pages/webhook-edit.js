// Creates or edits a webhook. After creation its signing secret is shown, only once.
import { html, useState } from "../ui.js";
import { get, getAll, patch, post } from "../api.js";
import { go, href } from "../router.js";
import { Field, Form, Submit, check, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useLoad } from "../components/load.js";
import { Card, Page } from "../components/page.js";
import { SecretOnce, useOnce } from "../components/secret.js";
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
  const [created, setCreated] = useState(null);
  const name = webhook.data?.attributes.name;
  const back = id
    ? html`<a class="back" href=${href(`webhooks/${id}`)}><${Icon} name="left" size=${14} />${name || "Webhook"}</a>`
    : html`<a class="back" href=${href("webhooks")}><${Icon} name="left" size=${14} />Webhooks</a>`;
  if (created) return html`<${Created} webhook=${created} />`;
  return html`<${Page} narrow title=${id ? `Edit ${name ?? "webhook"}` : "New webhook"} back=${back}>
    <${Card}>${
      webhook.data !== undefined
        ? html`<${Editor} webhook=${webhook.data} onCreated=${setCreated} />`
        : webhook.error
          ? html`<${ErrorState} title=${webhook.error.status === 404 ? "Webhook not found" : undefined} error=${webhook.error} retry=${webhook.error.status === 404 ? null : webhook.reload} />`
          : html`<${Skeleton} lines=${8} />`
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
    contact: a?.contact ?? "",
    encrypted: a?.encrypted ?? false,
  };
}

/** The body for the API; null resets a value. */
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
    contact: v.contact.trim() || null,
  };
}

function Editor({ webhook, onCreated }) {
  const types = useLoad((signal) => getAll("v1/event-types", {}, { signal }));
  const about = useLoad((signal) => get("admin/api/about", {}, { signal }));
  const configured = about.data?.delivery;
  const form = useForm({
    initial: initialOf(webhook?.attributes),
    submit: async (values) => {
      const body = bodyOf(values);
      check({
        url: /^https?:\/\/[^/]/i.test(body.url) && URL.canParse(body.url) ? null : "Enter a full URL, such as https://example.com/hooks.",
        events: body.events.length ? null : "Add at least one event type, or choose All events.",
      });
      if (!webhook) {
        onCreated((await post("v1/webhooks", body)).data);
        scrollTo(0, 0);
        return;
      }
      const { data } = await patch(`v1/webhooks/${encodeURIComponent(webhook.id)}`, body);
      toast(`${data.attributes.name} updated.`);
      go(`webhooks/${webhook.id}`);
    },
  });
  return html`<${Form} form=${form} className="spacious" footer=${html`<${Submit} form=${form}>${webhook ? "Save changes" : "Create webhook"}<//><a class="button" href=${href(webhook ? `webhooks/${webhook.id}` : "webhooks")}>Cancel</a>`}>
    <${Field} form=${form} name="url" label="URL" type="url" placeholder="https://example.com/hooks" required maxlength="2048" spellcheck="false" autocapitalize="none" hint="Events are sent to this URL. Private addresses must be allowed in the configuration." />
    <${Field} form=${form} name="name" label="Name" optional maxlength="100" hint="Defaults to the URL’s host." />
    <${Field} form=${form} name="description" label="Description" optional as="textarea" rows="2" maxlength="500" className="low" />
    <${PatternField} form=${form} types=${types.data} />
    <${ScheduleField} form=${form} configured=${configured?.retry_schedule} />
    <div class="two">
      <${Field} form=${form} name="timeout" label="Timeout" optional placeholder=${configured?.timeout ?? "10s"} spellcheck="false" autocomplete="off" hint="For the whole request, up to 30s." />
      <${Field} form=${form} name="rate_limit" label="Rate limit" optional placeholder="No limit" autocomplete="off" hint="Requests per second, up to 10,000, or 30/m, 1000/h." /></div>
    <${Field} form=${form} name="contact" label="Contact" optional maxlength="2048" spellcheck="false" autocapitalize="none" autocomplete="off" placeholder="team@example.com" hint="An email address or a URL that also gets the alerts about this webhook. Email needs an alert target of type Email." />
    <${HeadersField} form=${form} />
    <${Field} form=${form} as="checkbox" name="encrypted" label="Encrypt payloads" hint="Each payload is sent as a JWE (AES-256-GCM). The receiver decrypts it with the signing secret." />
  <//>`;
}

function Created({ webhook }) {
  const { id, attributes: a } = webhook;
  const once = useOnce("signing secret", { page: true });
  return html`<${Page} narrow title="${a.name} is ready" back=${html`<a class="back" href=${href("webhooks")}><${Icon} name="left" size=${14} />Webhooks</a>`}>
    <${Card} title="Signing secret"><div class="stack"><${SecretOnce} once=${once} items=${[["Signing secret", a.signing_secret]]}>The receiver needs it to verify signatures. It is shown only once; if it is lost, rotate it.<//></div><//>
    <${TestCard} id=${id} />
    <div class="page-actions"><a class="button primary" href=${href(`webhooks/${id}`)} onClick=${once.done}>Go to the webhook</a><a class="button" href=${href(`webhooks/${id}`, { part: "verification" })} onClick=${once.done}>Verification code</a></div><//>`;
}
