// One webhook: its settings, its health, and all actions on it.
import { html, useState } from "../ui.js";
import { get } from "../api.js";
import { amend, go, href, route } from "../router.js";
import { may } from "../state.js";
import { Icon } from "../components/icon.js";
import { showJob } from "../components/job.js";
import { useEvery, useLoad } from "../components/load.js";
import { Menu } from "../components/menu.js";
import { Card, Page } from "../components/page.js";
import { EmptyState, ErrorState, Skeleton } from "../components/states.js";
import { Tabs } from "../components/tabs.js";
import { plural } from "../format.js";
import { changeStatus, remove } from "./webhooks/actions.js";
import { Recover, Rotate } from "./webhooks/dialogs.js";
import { Headline } from "./webhooks/headline.js";
import { HealthCard } from "./webhooks/health.js";
import { Recent } from "./webhooks/recent.js";
import { RequestTemplate } from "./webhooks/request-template.js";
import { Settings } from "./webhooks/settings.js";
import { Verification } from "./webhooks/snippets.js";
import { useSubjects } from "./webhooks/subjects.js";
import { TestCard } from "./webhooks/test.js";

/** Parts of the page, by the parameter `part` of the address. */
const PARTS = [
  ["", "Overview"],
  ["request", "Request"],
  ["verification", "Verify signatures"],
];
/** Signatures matter only where requests are signed, and a template is shown where there is one. */
const partsOf = (a) => PARTS.filter(([key]) => (key === "request" ? a.request : key === "verification" ? (a.request?.sign ?? true) : true));

export default function Webhook({ params: { id } }) {
  const path = `v1/webhooks/${encodeURIComponent(id)}`;
  const webhook = useLoad(async (signal) => (await get(path, {}, { signal })).data, [id]);
  const gone = webhook.error?.status === 404;
  const there = Boolean(webhook.data);
  const health = useLoad(async (signal) => (await get(`${path}/health`, {}, { signal })).data.attributes, [id], there);
  const recent = useLoad(
    async (signal) => (await get(`${path}/deliveries`, { view: "deliveries", sort: "-last_activity_at", per_page: 10 }, { signal })).data,
    [id],
    there,
  );
  const types = useLoad(async (signal) => (await get("v1/event-types", { per_page: 200 }, { signal })).data, [], there);
  const about = useLoad((signal) => get("admin/api/about", {}, { signal }), [], there);
  const refresh = () => {
    webhook.reload();
    health.reload();
    recent.reload();
  };
  useEvery(10_000, refresh, there && !gone);
  const [dialog, setDialog] = useState(null);

  const back = html`<a class="back" href=${href("webhooks")}><${Icon} name="left" size=${14} />Webhooks</a>`;
  if (gone)
    return html`<${Page} title="Webhook" back=${back}><${EmptyState} icon="webhooks" title="Webhook not found" text="It belongs to another app, or it was deleted. Its rows are still in the delivery log."><a class="button" href=${href("webhooks")}>All webhooks</a><a class="button" href=${href("webhook-deliveries", { endpoint_id: id })}>Its delivery log</a><//><//>`;
  if (!webhook.data)
    return html`<${Page} title="Webhook" back=${back}>${webhook.error ? html`<${ErrorState} error=${webhook.error} retry=${webhook.reload} />` : html`<${Card}><${Skeleton} lines=${6} /><//>`}<//>`;

  const row = webhook.data,
    a = row.attributes;
  const parts = partsOf(a);
  const part = parts.some(([key]) => key === route.value.query.get("part")) ? route.value.query.get("part") : "";
  const become = (status) => changeStatus(row, status, refresh);
  const started = async (job) => {
    setDialog(null);
    await showJob(job.id, `Resending ${plural(job.attributes.matched, "event")}`);
    refresh();
  };
  const configured = about.data?.delivery;
  const actions =
    may("admin") &&
    html`
    ${a.status === "active" && html`<button type="button" class="button" onClick=${() => become("paused")}><${Icon} name="pause" />Pause</button>`}
    <a class="button" href=${href(`webhooks/${id}/edit`)}>Edit</a>
    <${Menu} label="More actions" className="button icon-only" items=${[
      { label: "Resend missed events", icon: "redo", run: () => setDialog("recover") },
      { label: "Rotate signing secret", icon: "keys", run: () => setDialog("rotate") },
      null,
      a.status !== "disabled" && { label: "Disable", icon: "minus", run: () => become("disabled") },
      {
        label: "Delete",
        icon: "retention",
        danger: true,
        run: async () => {
          if (await remove(row)) go("webhooks");
        },
      },
    ].filter((i) => i !== false)} />`;

  return html`<${Page} title=${a.name || "No name"} back=${back} actions=${actions}>
    <${Headline} id=${id} a=${a} become=${become} onSent=${refresh} />
    <${Tabs} label="Webhook" tabs=${parts} current=${part} onChange=${(to) => amend({ part: to || null }, { replace: true })}>
      ${part === "verification" ? html`<${Verification} id=${id} />` : part === "request" ? html`<${RequestTemplate} id=${id} a=${a} />` : html`<div class="tab-page"><${Settings} id=${id} a=${a} configured=${configured} />
      <div class="columns">
        <div class="column"><${HealthCard} id=${id} load=${health} rate=${a.success_rate} /></div>
        <div class="column"><${Recent} id=${id} load=${recent} paused=${a.health.state} /><${Test} id=${id} a=${a} types=${types.data} onTested=${recent.reload} /></div></div></div>`}<//>
    ${dialog === "rotate" && html`<${Rotate} webhook=${row} onClose=${() => setDialog(null)} />`}
    ${dialog === "recover" && html`<${Recover} webhook=${row} onClose=${() => setDialog(null)} onStarted=${started} onEnable=${() => {
      setDialog(null);
      become("active");
    }} />`}
  <//>`;
}

/** A shaped webhook is tested with an event or a sample. */
function Test({ id, a, ...rest }) {
  return a.request ? html`<${ShapedTest} id=${id} a=${a} ...${rest} />` : html`<${TestCard} id=${id} ...${rest} />`;
}

function ShapedTest({ id, a, ...rest }) {
  const subjects = useSubjects(a.events);
  return html`<${TestCard} id=${id} subjects=${subjects} ...${rest} />`;
}
