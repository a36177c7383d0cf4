// Alert targets: phones and channels that are notified when something goes wrong.
import { html, useMemo, useState } from "../ui.js";
import { del, get, patch, post } from "../api.js";
import { may, timeMode } from "../state.js";
import { Badge } from "../components/badge.js";
import { Dialog, confirm } from "../components/dialog.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useEvery, useLoad } from "../components/load.js";
import { Menu } from "../components/menu.js";
import { Page } from "../components/page.js";
import { EmptyState, ErrorState, Note } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { fail, toast } from "../components/toast.js";

/** Kind, its name, and when it is sent. */
const KINDS = [
  ["webhook_disabled", "Webhook disabled", "Too many consecutive failures, or a 410 response."],
  ["webhook_failing", "Webhook failing", "It is on hold, or half of the failures that disable it have happened."],
  ["webhook_recovered", "Webhook works again", "Deliveries to a webhook that was failing succeed."],
  ["webhook_silent", "Nothing reaches a webhook", "Attempts fail, and none has succeeded for the time below."],
  ["deliveries_exhausted", "Deliveries have no retries left", "How many of which webhooks, at most once an hour."],
  ["queue_late", "Deliveries are late", "The oldest one is overdue by more than the limit below."],
  ["disk_low", "Disk nearly full", "Free space is below the limit below."],
  ["backup_failed", "Backup failed", "A scheduled backup failed."],
  ["cannot_send", "This server cannot send", "Its network, resolver or limits keep it from sending for a minute."],
  ["retention_paused", "Retention paused", "The clock is not trusted, so nothing is deleted."],
  ["clock_wrong", "Clock wrong", "The clocks of the database and of a node are a minute apart, or more."],
];
const WORD = Object.fromEntries(KINDS.map(([kind, word]) => [kind, word]));

/** Form, its name, hints for its URL and its token (null: it has none). */
const FORMS = [
  ["ntfy", "ntfy", "The topic’s URL, such as https://ntfy.sh/my-topic.", "Access token, if the topic requires one"],
  ["gotify", "Gotify", "The server’s URL.", "Token of an application in Gotify"],
  ["discord", "Discord", "The webhook’s URL, from the channel’s settings.", null],
  ["slack", "Slack", "The incoming webhook’s URL. Mattermost and Rocket.Chat use the same format.", null],
  [
    "json",
    "Any URL (JSON)",
    "Receives a JSON object with kind, title, text and link. For Home Assistant, n8n and your own programs.",
    "Sent as Authorization: Bearer",
  ],
  ["email", "Email", "", null],
];
/** Encryption of the connection to a mail server, and its usual port. */
const TLS = [
  ["starttls", "STARTTLS", "587"],
  ["implicit", "TLS from the start", "465"],
  ["none", "None", "25"],
];
const formOf = (name) => FORMS.find(([form]) => form === name);
const path = (target) => `admin/api/alerts/${encodeURIComponent(target.id)}`;

export default function Alerts() {
  const list = useLoad(async (signal) => (await get("admin/api/alerts", {}, { signal })).data);
  useEvery(30_000, list.reload);
  const [dialog, setDialog] = useState(null);
  const editable = may("admin");
  const remove = async (target) => {
    const done = await confirm({
      title: "Delete this target?",
      danger: true,
      action: "Delete",
      act: () => del(path(target)),
      text: html`<p><strong>${target.name}</strong> gets no more alerts. This cannot be undone.</p>`,
    });
    if (done) {
      toast(`${target.name} deleted.`);
      list.reload();
    }
  };
  const toggle = async (target) => {
    try {
      await patch(path(target), { enabled: !target.enabled });
      toast(target.enabled ? `${target.name} disabled.` : `${target.name} enabled.`);
    } catch (e) {
      fail(e);
    }
    list.reload();
  };
  const columns = useMemo(
    () =>
      [
        {
          key: "name",
          title: "Target",
          card: "head",
          cell: (t) =>
            html`<div class="cell-two">
              <span class="cut strong" title=${t.name}>${t.name}</span
              ><small class="cut" title=${t.host}>${formOf(t.form)?.[1] ?? t.form} · ${t.host}</small>
            </div>`,
        },
        {
          key: "kinds",
          title: "Alerts",
          width: "32%",
          card: "line",
          cell: (t) =>
            html`<span class="cut" title=${t.kinds.map((k) => WORD[k] ?? k).join(", ")}
              >${t.kinds.length === KINDS.length ? "Everything" : t.kinds.map((k) => WORD[k] ?? k).join(", ")}</span
            >`,
        },
        {
          key: "last",
          title: "Last sent",
          width: "13rem",
          card: "line",
          cell: (t) => html`<${LastSent} target=${t} />`,
        },
        editable && {
          key: "actions",
          title: "Actions",
          hidden: true,
          width: "8.5rem",
          card: "foot",
          className: "overflow",
          cell: (t) =>
            html`<div class="row-actions">
              <button
                type="button"
                class="button small"
                aria-label="Send a test to ${t.name}"
                onClick=${() => setDialog({ test: t })}
              >
                Test</button
              ><${Menu}
                className="button quiet small icon-only"
                label="Actions for ${t.name}"
                items=${[
                  { label: "Edit", icon: "logs", run: () => setDialog({ edit: t }) },
                  {
                    label: t.enabled ? "Disable" : "Enable",
                    icon: t.enabled ? "pause" : "play",
                    run: () => toggle(t),
                  },
                  null,
                  { label: "Delete", icon: "retention", danger: true, run: () => remove(t) },
                ]}
              />
            </div>`,
        },
      ].filter(Boolean),
    [timeMode.value, editable],
  );
  const close = () => setDialog(null);
  const saved = (text) => {
    close();
    toast(text);
    list.reload();
  };
  const create = html`<button type="button" class="button primary" onClick=${() => setDialog({ create: true })}>
    <${Icon} name="plus" />New target
  </button>`;
  const nothing = html`<${EmptyState}
    icon="alert"
    title="No alert targets yet"
    text="Notify a phone, a channel or a mailbox when a webhook fails, deliveries are late, the disk fills up or a backup fails."
    >${editable && create}<//
  >`;
  return html`<${Page}
    title="Alerts"
    intro="Get notified when something goes wrong on this server. Repeats are limited to one an hour."
    actions=${editable && list.data?.length > 0 && create}
  >
    <section class="card flush dense" aria-label="Alert targets">
      ${
        list.error && !list.data
          ? html`<${ErrorState} error=${list.error} retry=${list.reload} />`
          : html`<${DataTable}
              caption="Alert targets, oldest first"
              columns=${columns}
              rows=${list.data}
              busy=${list.loading}
              skeleton=${3}
              empty=${nothing}
            />`
      }
    </section>
    ${dialog?.create && html`<${Edit} onClose=${close} onDone=${saved} />`}
    ${dialog?.edit && html`<${Edit} target=${dialog.edit} onClose=${close} onDone=${saved} />`}
    ${dialog?.test && html`<${Test} target=${dialog.test} onClose=${close} onSent=${list.reload} />`}<//
  >`;
}

function LastSent({ target: { enabled, last_try: last } }) {
  if (!enabled) return html`<${Badge} tone="off" icon="pause">Disabled<//>`;
  if (!last) return html`<span class="muted">Never</span>`;
  return last.sent
    ? html`<span
        ><${Badge} tone="ok" icon="check" hint=${WORD[last.kind] ?? last.kind}>Sent<//> <${Time} at=${last.at}
      /></span>`
    : html`<span><${Badge} tone="bad" icon="alert" hint=${last.error}>Failed<//> <${Time} at=${last.at} /></span>`;
}

function Edit({ target, onClose, onDone }) {
  const form = useForm({
    initial: {
      name: target?.name ?? "",
      form: target?.form ?? "ntfy",
      url: "",
      token: "",
      host: target?.form === "email" ? target.host : "",
      port: target?.port ? String(target.port) : "",
      tls: target?.tls ?? "starttls",
      user: target?.user ?? "",
      password: "",
      from: target?.from ?? "",
      to: target?.to?.join(", ") ?? "",
      queue_age: target?.queue_age ?? "15m",
      silent_after: target?.silent_after ?? "1d",
      disk_free_mib: String(target?.disk_free_mib ?? 1024),
      ...Object.fromEntries(KINDS.map(([kind]) => [kind, target ? target.kinds.includes(kind) : true])),
    },
    submit: async (values) => {
      const body = {
        form: values.form,
        kinds: KINDS.map(([kind]) => kind).filter((kind) => values[kind]),
        queue_age: values.queue_age.trim(),
        silent_after: values.silent_after.trim(),
        disk_free_mib: Number(values.disk_free_mib),
      };
      if (values.name.trim()) body.name = values.name.trim();
      if (values.form === "email") Object.assign(body, mailOf(values));
      else if (values.url.trim() || !target) body.url = values.url.trim();
      if (values.token.trim() && formOf(values.form)[3]) body.token = values.token.trim();
      const done = target ? await patch(path(target), body) : await post("admin/api/alerts", body);
      onDone(target ? `${done.name} updated.` : `${done.name} created. Send it a test.`);
    },
  });
  const [, , urlHint, tokenLabel] = formOf(form.values.form);
  const kept = target && form.values.form === target.form;
  const isMail = form.values.form === "email";
  return html`<${Dialog} wide title=${target ? "Edit alert target" : "New alert target"} onClose=${onClose}
    ><${Form}
      form=${form}
      footer=${html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>${target ? "Save" : "Create target"}<//>`}
    >
      <div class="two">
        <${Field}
          form=${form}
          name="form"
          label="Type"
          as="select"
          options=${FORMS.map(([f, word]) => [f, word])}
        />
        <${Field}
          form=${form}
          name="name"
          label="Name"
          optional
          maxlength="100"
          autocomplete="off"
          hint="Defaults to the URL’s host."
        />
      </div>
      ${isMail && html`<${MailFields} form=${form} target=${kept ? target : null} />`}
      ${!isMail && html`<${Field}
        form=${form}
        name="url"
        label="URL"
        optional=${kept}
        type="url"
        spellcheck="false"
        autocomplete="off"
        placeholder=${kept ? `Unchanged: ${target.host}/…` : "https://"}
        hint=${kept ? `${urlHint} Leave empty to keep it; a new URL removes the token.` : urlHint} />`}
      ${tokenLabel && html`<${Field} form=${form} name="token" label="Token" optional=${form.values.form !== "gotify" || (kept && target.has_token)} type="password" autocomplete="off" placeholder=${kept && target.has_token ? "Unchanged" : ""} hint="${tokenLabel}. Stored encrypted and never shown again." />`}
      <fieldset class="stack">
        <legend class="label">Alerts</legend>
        ${KINDS.map(([kind, word, hint]) => html`<${Field} key=${kind} form=${form} name=${kind} label=${word} hint=${hint} as="checkbox" />`)}${form.errorOf("kinds") && html`<div class="field-error" role="alert">${form.errorOf("kinds")}</div>`}
      </fieldset>
      <div class="two">
        <${Field}
          form=${form}
          name="queue_age"
          label="Deliveries are late after"
          spellcheck="false"
          autocomplete="off"
          hint="For example 15m or 2h; at least 1m."
        />
        <${Field}
          form=${form}
          name="silent_after"
          label="Nothing reaches a webhook for"
          spellcheck="false"
          autocomplete="off"
          hint="For example 6h or 1d; at least 1m."
        />
        <${Field}
          form=${form}
          name="disk_free_mib"
          label="Disk is nearly full below (MiB)"
          inputmode="numeric"
          autocomplete="off"
          hint="1024 MiB is 1 GiB."
        /></div><//
  ><//>`;
}

/** The fields of a mail server, as the API takes them. */
function mailOf(v) {
  const body = {
    host: v.host.trim(),
    tls: v.tls,
    user: v.user.trim() || null,
    from: v.from.trim(),
    to: v.to.split(/[,\s]+/).filter(Boolean),
  };
  if (v.port.trim()) body.port = Number(v.port);
  if (v.password) body.password = v.password;
  return body;
}

function MailFields({ form, target }) {
  const port = TLS.find(([mode]) => mode === form.values.tls)?.[2];
  return html`<div class="stack">
    <div class="two">
      <${Field} form=${form} name="host" label="Mail server" spellcheck="false" autocomplete="off" placeholder="mail.example.com" />
      <${Field} form=${form} name="tls" label="Encryption" as="select" options=${TLS.map(([mode, word]) => [mode, word])} />
      <${Field} form=${form} name="port" label="Port" optional inputmode="numeric" autocomplete="off" placeholder=${port} />
      <${Field} form=${form} name="user" label="User" optional spellcheck="false" autocomplete="off" hint="If the server asks for one. Needs encryption." />
      <${Field} form=${form} name="password" label="Password" optional=${!form.values.user.trim() || target?.has_password} type="password" autocomplete="off" placeholder=${target?.has_password ? "Unchanged" : ""} hint="Stored encrypted and never shown again." />
      <${Field} form=${form} name="from" label="From" type="email" spellcheck="false" autocomplete="off" placeholder="postrider@example.com" />
    </div>
    <${Field} form=${form} name="to" label="To" spellcheck="false" autocomplete="off" placeholder="ops@example.com" hint="One or more addresses, separated by commas." /></div>`;
}

function Test({ target, onClose, onSent }) {
  const [result, setResult] = useState(null);
  const form = useForm({
    initial: { kind: target.kinds[0] },
    submit: async ({ kind }) => {
      setResult(null);
      setResult(await post(`${path(target)}/test`, { kind }));
      onSent();
    },
  });
  return html`<${Dialog} title="Test ${target.name}" onClose=${onClose}
    ><${Form}
      form=${form}
      footer=${html`<button type="button" class="button" onClick=${onClose}>Close</button><${Submit} form=${form}>Send test<//>`}
    >
      <${Field}
        form=${form}
        name="kind"
        label="Alert"
        as="select"
        options=${KINDS.map(([kind, word]) => [kind, word])}
        hint="Sends a sample alert now, marked as a test."
      />
      ${result && (result.sent ? html`<${Note} tone="ok">Test delivered to ${target.host}.<//>` : html`<${Note} tone="bad">Test failed: ${result.error}<//>`)}<//
    ><//
  >`;
}
