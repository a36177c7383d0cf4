// One's own password, and where one is signed in. An owner sees everybody's sessions.
import { html, useMemo } from "../ui.js";
import { del, get, put } from "../api.js";
import { may, session, timeMode } from "../state.js";
import { Badge } from "../components/badge.js";
import { confirm } from "../components/dialog.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { useLoad } from "../components/load.js";
import { Card, Facts, Page } from "../components/page.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time, TimeSwitch } from "../components/time.js";
import { fail, toast } from "../components/toast.js";

const ROLES = {
  viewer: "Viewer: reads, changes nothing",
  admin: "Admin: changes webhooks, retries, makes keys",
  owner: "Owner: everything",
};

export default function Account() {
  const who = session.value;
  const list = useLoad(async (signal) => (await get("admin/api/sessions", {}, { signal })).data);
  return html`<${Page} title="Account">
    <${Card}><${Facts} items=${[
      ["E-mail", who.email],
      ["Role", ROLES[who.role] ?? who.role],
    ]} /><div class="gap"><p class="label">Times are shown, in this browser</p><${TimeSwitch} /></div><//>
    <${Card} title="Password" className="half"><${Password} onDone=${list.reload} /><//>
    <${Sessions} list=${list} me=${who.email} /><//>`;
}

function Password({ onDone }) {
  const form = useForm({
    initial: { current_password: "", new_password: "" },
    submit: async (values) => {
      await put("admin/api/password", values, { quiet: true });
      form.setValues({ current_password: "", new_password: "" });
      toast("Your password is changed. Your other sessions have ended.");
      onDone();
    },
  });
  return html`<${Form} form=${form} footer=${html`<${Submit} form=${form}>Change password<//>`}>
    <div class="sr-only" aria-hidden="true"><input type="text" autocomplete="username" value=${session.value.email} readonly tabindex="-1" /></div>
    <${Field} form=${form} name="current_password" label="Current password" type="password" autocomplete="current-password" required />
    <${Field} form=${form} name="new_password" label="New password" type="password" autocomplete="new-password" required hint="10 characters or more. Your other sessions end." /><//>`;
}

function Sessions({ list, me }) {
  const all = may("owner");
  const revoke = async (s) => {
    if (
      s.email !== me &&
      !(await confirm({
        title: "End this session?",
        danger: true,
        action: "End session",
        text: `${s.email} is signed out there.`,
      }))
    )
      return;
    try {
      await del(`admin/api/sessions/${encodeURIComponent(s.id)}`);
      toast("The session has ended.");
      list.reload();
    } catch (error) {
      fail(error);
    }
  };
  const columns = useMemo(
    () => [
      {
        key: "where",
        title: "Where",
        card: "head",
        cell: (s) =>
          html`<div class="cell-two"><span class="cut strong" title=${s.user_agent}>${browserOf(s.user_agent)}</span><small class="cut">${s.address ?? "Unknown address"}</small></div>`,
      },
      ...(all
        ? [
            {
              key: "who",
              title: "Who",
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
        title: "Ends",
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
          html`<div class="row-actions">${s.current ? html`<${Badge} tone="info" icon="check">This one<//>` : html`<button type="button" class="button small" aria-label="End the session of ${s.email}, ${browserOf(s.user_agent)}" onClick=${() => revoke(s)}>End</button>`}</div>`,
      },
    ],
    [timeMode.value, all, me],
  );
  return html`<${Card} title=${all ? "Sessions of everybody" : "Your sessions"} flush>
    ${list.error && !list.data ? html`<${ErrorState} error=${list.error} retry=${list.reload} />` : html`<${DataTable} caption="Sessions" columns=${columns} rows=${list.data} busy=${list.loading} skeleton=${2} empty=${html`<${EmptyState} icon="account" title="No session" />`} />`}<//>`;
}

/** "Firefox on Linux": a guess for people; the whole text is in the tooltip. */
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
