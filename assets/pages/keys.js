// API keys of the app: their scopes, and when they were last used.
import { html, useMemo, useState } from "../ui.js";
import { del, get, post } from "../api.js";
import { may, now, timeMode } from "../state.js";
import { Badge } from "../components/badge.js";
import { Dialog, confirm } from "../components/dialog.js";
import { Field, Form, NAME_PROBLEM, Submit, check, isName, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useLoad } from "../components/load.js";
import { Page } from "../components/page.js";
import { SecretOnce, useOnce } from "../components/secret.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { CopyButton } from "../components/text.js";
import { Time } from "../components/time.js";
import { toast } from "../components/toast.js";

const SCOPES = [
  ["webhooks:read", "Read webhooks and the delivery log, send tests"],
  ["webhooks:write", "Create and change webhooks, retry deliveries"],
  ["webhooks:secrets", "Read signing secrets (v0 API only)"],
  ["events:write", "Post events"],
  ["events:read", "Read events with their payloads"],
  ["admin", "Everything, in every app"],
];
const LIVES = [
  ["", "Never"],
  ["30d", "In 30 days"],
  ["90d", "In 90 days"],
  ["365d", "In 1 year"],
];

const stateOf = (key, at) =>
  key.revoked_at ? "revoked" : key.expires_at && Date.parse(key.expires_at) <= at ? "expired" : "active";

export default function Keys() {
  const list = useLoad(async (signal) => (await get("admin/api/keys", {}, { signal })).data);
  const [creating, setCreating] = useState(false);
  const [ended, setEnded] = useState(false);
  const revoke = async (key) => {
    const done = await confirm({
      title: "Revoke this key?",
      danger: true,
      action: "Revoke",
      act: () => del(`admin/api/keys/${encodeURIComponent(key.id)}`),
      text: html`<p>Programs that use <strong>${key.name}</strong> lose access immediately. This cannot be undone.</p>`,
    });
    if (done) {
      toast(`${key.name} revoked.`);
      list.reload();
    }
  };
  const over = list.data?.filter((k) => stateOf(k, now.value) !== "active").length ?? 0;
  const rows = useMemo(() => list.data?.filter((k) => ended || stateOf(k, now.value) === "active"), [list.data, ended]);
  const columns = useMemo(
    () => [
      {
        key: "name",
        title: "Name",
        card: "head",
        cell: (k) =>
          html`<div class="cell-two"><span class="cut strong" title=${k.name}>${k.name}</span><small class="mono cut" title=${k.client_key}>${k.client_key}</small></div>`,
      },
      {
        key: "state",
        title: "State",
        width: "6.6rem",
        card: "aside",
        cell: (k) => {
          const s = stateOf(k, Date.now());
          return s === "active"
            ? html`<${Badge} tone="ok" icon="check">Active<//>`
            : s === "expired"
              ? html`<${Badge} tone="warn" icon="clock">Expired<//>`
              : html`<${Badge} tone="off" icon="minus">Revoked<//>`;
        },
      },
      {
        key: "scopes",
        title: "Scopes",
        width: "27%",
        card: "line",
        className: "wide-line",
        cell: (k) => html`<span class="scopes">${k.scopes.map((s) => html`<code key=${s}>${s}</code>`)}</span>`,
      },
      {
        key: "used",
        title: "Last used",
        width: "6.2rem",
        card: "line",
        cell: (k) =>
          k.last_used_at
            ? html`<span class="card-word">used </span><${Time} at=${k.last_used_at} />`
            : html`<span class="muted">Never${" "}<span class="card-word">used</span></span>`,
      },
      {
        key: "expires",
        title: "Expires",
        width: "6.2rem",
        card: "line",
        cell: (k) =>
          k.expires_at
            ? html`<span class="card-word">expires </span><${Time} at=${k.expires_at} />`
            : html`<span class="muted blank">Never</span>`,
      },
      {
        key: "created",
        title: "Created",
        width: "6.2rem",
        card: "hide",
        className: "col-opt",
        cell: (k) => html`<${Time} at=${k.created_at} />`,
      },
      {
        key: "actions",
        title: "Actions",
        hidden: true,
        width: "5.6rem",
        card: "foot",
        cell: (k) =>
          html`<div class="row-actions">${stateOf(k, Date.now()) === "active" && html`<button type="button" class="button quiet small" onClick=${() => revoke(k)}>Revoke</button>`}</div>`,
      },
    ],
    [timeMode.value],
  );
  const nothing = html`<${EmptyState} icon="keys" title=${over ? "No active keys" : "No keys yet"} text="Programs use a key to post events and to call the API. Give each program its own key with the scopes it needs."><button type="button" class="button primary" onClick=${() => setCreating(true)}>Create a key</button><//>`;
  return html`<${Page} title="API keys" intro="A key can access only its own app." actions=${html`<button type="button" class="button primary" onClick=${() => setCreating(true)}><${Icon} name="plus" />New key</button>`}>
    <section class="card flush" aria-label="API keys">
      ${list.error && !list.data ? html`<${ErrorState} error=${list.error} retry=${list.reload} />` : html`<${DataTable} caption="API keys, newest first" columns=${columns} rows=${rows} empty=${nothing} busy=${list.loading} skeleton=${4} />`}
      ${over > 0 && html`<div class="pages"><button type="button" class="button quiet small" aria-pressed=${ended} onClick=${() => setEnded(!ended)}>${ended ? "Hide" : "Show"} ${over} revoked or expired</button></div>`}
    </section>
    ${creating && html`<${NewKey} onClose=${() => setCreating(false)} onCreated=${list.reload} />`}<//>`;
}

function NewKey({ onClose, onCreated }) {
  const [created, setCreated] = useState(null);
  const once = useOnce("key");
  const form = useForm({
    initial: { name: "", expires: "", scopes: ["events:write"] },
    submit: async ({ name, expires, scopes }) => {
      check({
        name: isName(name.trim()) ? null : NAME_PROBLEM,
        scopes: scopes.length ? null : "Choose at least one scope.",
      });
      setCreated(await post("admin/api/keys", { name: name.trim(), scopes, ...(expires ? { expires } : {}) }));
      onCreated();
    },
  });
  if (created) {
    const example = `curl ${new URL("../v1/events", document.baseURI).href} \\\n  -H 'Authorization: Bearer ${created.token}' \\\n  -H 'Content-Type: application/json' \\\n  -d '{"event_type":"license.assigned","payload":{"license":"L-1"}}'`;
    return html`<${Dialog} wide title="${created.name} is ready" onClose=${onClose} sure=${once.sure} footer=${html`<button type="button" class="button primary" onClick=${onClose}>Done</button>`}>
      <${SecretOnce} once=${once} items=${[
        ["Token, for Authorization: Bearer", created.token],
        ["x-client-key", created.client_key, true],
        ["x-client-secret", created.client_secret],
      ]}>The secret is shown only once. Use either the bearer token or the two headers.<//>
      ${created.scopes.some((s) => s === "events:write" || s === "admin") && html`<div class="body-view"><div class="body-bar"><span class="muted">A first event</span><${CopyButton} text=${example} what="Copy command" /></div><pre class="body-text wrap" tabindex="0" role="region" aria-label="Command"><code>${example}</code></pre></div>`}
    <//>`;
  }
  form.known.current.add("scopes");
  const error = form.errorOf("scopes");
  const toggle = (scope) =>
    form.set(
      "scopes",
      form.values.scopes.includes(scope)
        ? form.values.scopes.filter((s) => s !== scope)
        : [...form.values.scopes, scope],
    );
  return html`<${Dialog} title="New API key" onClose=${onClose}>
    <${Form} form=${form} footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>Create key<//>`}>
      <${Field} form=${form} name="name" label="Name" maxlength="100" required autocomplete="off" placeholder="Billing service" hint="Helps you recognize this key later." />
      <fieldset class="field"><legend>Scopes</legend>${SCOPES.filter(([s]) => s !== "admin" || may("owner")).map(([scope, words]) => html`<label class="scope" key=${scope}><input type="checkbox" checked=${form.values.scopes.includes(scope)} aria-invalid=${error ? "true" : undefined} onChange=${() => toggle(scope)} /><span><code>${scope}</code><small class="muted">${words}</small></span></label>`)}
        ${error && html`<div class="field-error">${error}</div>`}</fieldset>
      <${Field} form=${form} name="expires" label="Expires" as="select" options=${LIVES} />
    <//><//>`;
}
