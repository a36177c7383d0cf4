// Apps: each has its own webhooks, events, keys and log, isolated from the others.
import { html, useMemo, useState } from "../ui.js";
import { get, patch, post } from "../api.js";
import { go } from "../router.js";
import { appId, currentApp, session, timeMode } from "../state.js";
import { Badge } from "../components/badge.js";
import { Dialog } from "../components/dialog.js";
import { Field, Form, NAME_PROBLEM, Submit, check, isName, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useLoad } from "../components/load.js";
import { Page } from "../components/page.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { CopyButton } from "../components/text.js";
import { Time } from "../components/time.js";
import { toast } from "../components/toast.js";

export default function Apps() {
  const list = useLoad(async (signal) => (await get("admin/api/apps", {}, { signal })).data);
  const [dialog, setDialog] = useState(null);
  // The switcher knows the apps from the session.
  const saved = async (text) => {
    setDialog(null);
    toast(text);
    list.reload();
    session.value = await get("admin/api/session");
  };
  const open = (app) => {
    appId.value = app.name === "default" ? "" : app.id;
    go("", { app: appId.value });
  };
  const here = currentApp.value?.id;
  const columns = useMemo(
    () => [
      {
        key: "name",
        title: "Name",
        card: "head",
        cell: (a) => html`<span class="cut strong" title=${a.name}>${a.name}</span>`,
      },
      {
        key: "here",
        title: "Current",
        width: "8rem",
        card: "aside",
        cell: (a) =>
          a.id === here
            ? html`<${Badge} tone="info" icon="check">Current<//>`
            : html`<button type="button" class="button small" onClick=${() => open(a)}>Switch</button>`,
      },
      {
        key: "id",
        title: "ID",
        width: "40%",
        card: "line",
        cell: (a) =>
          html`<span class="id-cell"><code class="cut" title=${a.id}>${a.id}</code><${CopyButton} text=${a.id} label="Copy" what="Copy ID" /></span>`,
      },
      {
        key: "created",
        title: "Created",
        width: "8.5rem",
        card: "hide",
        className: "col-opt",
        cell: (a) => html`<${Time} at=${a.created_at} />`,
      },
      {
        key: "actions",
        title: "Actions",
        hidden: true,
        width: "6rem",
        card: "foot",
        cell: (a) =>
          html`<div class="row-actions"><button type="button" class="button quiet small" onClick=${() => setDialog({ app: a })}>Rename</button></div>`,
      },
    ],
    [timeMode.value, here],
  );
  return html`<${Page} title="Apps" intro="Each app has its own webhooks, events, keys and log. A key works in one app; keys with the admin scope can choose another with the X-App-Id header." actions=${html`<button type="button" class="button primary" onClick=${() => setDialog({})}><${Icon} name="plus" />New app</button>`}>
    <section class="card flush dense" aria-label="Apps">${
      list.error && !list.data
        ? html`<${ErrorState} error=${list.error} retry=${list.reload} />`
        : html`<${DataTable} caption="Apps" columns=${columns} rows=${list.data} busy=${list.loading} skeleton=${3} empty=${html`<${EmptyState} icon="apps" title="No apps" />`} />`
    }</section>
    ${dialog && html`<${Name} app=${dialog.app} onClose=${() => setDialog(null)} onDone=${saved} />`}<//>`;
}

function Name({ app, onClose, onDone }) {
  const form = useForm({
    initial: { name: app?.name ?? "" },
    submit: async ({ name }) => {
      check({ name: isName(name.trim()) ? null : NAME_PROBLEM });
      const done = app
        ? await patch(`admin/api/apps/${encodeURIComponent(app.id)}`, { name: name.trim() })
        : await post("admin/api/apps", { name: name.trim() });
      onDone(app ? `${app.name} renamed to ${done.name}.` : `${done.name} created.`);
    },
  });
  return html`<${Dialog} title=${app ? "Rename app" : "New app"} onClose=${onClose}><${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>${app ? "Rename" : "Create app"}<//>`}>
    <${Field} form=${form} name="name" label="Name" maxlength="100" required autocomplete="off" hint=${app ? "Keys and links use the ID, which does not change." : "A product, or an environment such as staging."} /><//><//>`;
}
