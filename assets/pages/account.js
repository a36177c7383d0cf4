// Your own password and sessions. An owner sees all sessions.
import { html, useMemo } from "../ui.js";
import { del, get, put } from "../api.js";
import { may, session, timeMode } from "../state.js";
import { Badge } from "../components/badge.js";
import { confirm } from "../components/dialog.js";
import { Field, Form, Submit, check, passwordProblem, useForm } from "../components/form.js";
import { useLoad } from "../components/load.js";
import { Card, Facts, Page } from "../components/page.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time, TimeSwitch } from "../components/time.js";
import { fail, toast } from "../components/toast.js";

const ROLES = {
  viewer: "Viewer: read-only",
  admin: "Admin: can also manage webhooks, keys and retries",
  owner: "Owner: can do everything",
};

export default function Account() {
  const who = session.value;
  const list = useLoad(async (signal) => (await get("admin/api/sessions", {}, { signal })).data);
  return html`<${Page} title="Account">
    <${Card}><${Facts} items=${[
      ["Email", who.email],
      ["Role", ROLES[who.role] ?? who.role],
    ]} /><div class="gap"><p class="label">Time display in this browser</p><${TimeSwitch} /></div><//>
    <${Card} title="Password" className="half"><${Password} onDone=${list.reload} /><//>
    <${Sessions} list=${list} me=${who.email} /><//>`;
}

function Password({ onDone }) {
  const form = useForm({
    initial: { current_password: "", new_password: "" },
    submit: async (values) => {
      check({
        current_password: values.current_password ? null : "Enter your current password.",
        new_password: passwordProblem(values.new_password),
      });
      await put("admin/api/password", values);
      form.setValues({ current_password: "", new_password: "" });
      toast("Password changed. Your other sessions were signed out.");
      onDone();
    },
  });
  return html`<${Form} form=${form} footer=${html`<${Submit} form=${form}>Change password<//>`}>
    <div class="sr-only" aria-hidden="true"><input type="text" autocomplete="username" value=${session.value.email} readonly tabindex="-1" /></div>
    <${Field} form=${form} name="current_password" label="Current password" type="password" autocomplete="current-password" required />
    <${Field} form=${form} name="new_password" label="New password" type="password" autocomplete="new-password" required hint="At least 10 characters. Your other sessions are signed out." /><//>`;
}

function Sessions({ list, me }) {
  const all = may("owner");
  const revoke = async (s) => {
    if (
      s.email !== me &&
      !(await confirm({
        title: "Sign out this session?",
        danger: true,
        action: "Sign out",
        text: `${s.email} is signed out in ${browserOf(s.user_agent)}.`,
      }))
    )
      return;
    try {
      await del(`admin/api/sessions/${encodeURIComponent(s.id)}`);
      toast("Session signed out.");
      list.reload();
    } catch (error) {
      fail(error);
    }
  };
  const columns = useMemo(
    () => [
      {
        key: "where",
        title: "Browser",
        card: "head",
        cell: (s) =>
          html`<div class="cell-two"><span class="cut strong" title=${s.user_agent}>${browserOf(s.user_agent)}</span><small class="cut">${s.address ?? "Unknown address"}</small></div>`,
      },
      ...(all
        ? [
            {
              key: "who",
              title: "User",
              width: "24%",
              card: "line",
              cell: (s) => html`<span class="cut" title=${s.email}>${s.email}</span>`,
            },
          ]
        : []),
      {
        key: "seen",
        title: "Last seen",
        width: "7.5rem",
        card: "line",
        cell: (s) => html`<span class="card-word">seen </span><${Time} at=${s.last_seen_at} />`,
      },
      {
        key: "created",
        title: "Signed in",
        width: "7.5rem",
        card: "hide",
        className: "col-opt",
        cell: (s) => html`<${Time} at=${s.created_at} />`,
      },
      {
        key: "expires",
        title: "Expires",
        width: "7.5rem",
        card: "hide",
        className: "col-opt",
        cell: (s) => html`<${Time} at=${s.expires_at} />`,
      },
      {
        key: "actions",
        title: "Actions",
        hidden: true,
        width: "8rem",
        card: "aside",
        cell: (s) =>
          html`<div class="row-actions">${s.current ? html`<${Badge} tone="info" icon="check">Current<//>` : html`<button type="button" class="button small" aria-label="Sign out ${s.email}, ${browserOf(s.user_agent)}" onClick=${() => revoke(s)}>Sign out</button>`}</div>`,
      },
    ],
    [timeMode.value, all, me],
  );
  return html`<${Card} title=${all ? "All sessions" : "Your sessions"} flush>
    ${list.error && !list.data ? html`<${ErrorState} error=${list.error} retry=${list.reload} />` : html`<${DataTable} caption="Sessions" columns=${columns} rows=${list.data} busy=${list.loading} skeleton=${2} empty=${html`<${EmptyState} icon="account" title="No sessions" />`} />`}<//>`;
}

/** "Firefox on Linux": a guess; the full text is in the tooltip. */
function browserOf(agent) {
  const text = agent ?? "";
  const browser = [
    ["Edg/", "Edge"],
    ["OPR/", "Opera"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Safari/", "Safari"],
    ["curl/", "curl"],
  ].find(([mark]) => text.includes(mark))?.[1];
  const system = [
    ["Android", "Android"],
    ["iPhone", "iPhone"],
    ["iPad", "iPad"],
    ["Windows", "Windows"],
    ["Mac OS", "macOS"],
    ["Linux", "Linux"],
  ].find(([mark]) => text.includes(mark))?.[1];
  return browser ? `${browser}${system ? ` on ${system}` : ""}` : text || "Unknown browser";
}
