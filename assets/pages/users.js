// Users of the dashboard and their roles.
import { html, useMemo, useState } from "../ui.js";
import { del, get, patch, post } from "../api.js";
import { session, timeMode } from "../state.js";
import { Dialog, confirm } from "../components/dialog.js";
import { Field, Form, Submit, check, passwordProblem, useForm } from "../components/form.js";
import { Icon } from "../components/icon.js";
import { useLoad } from "../components/load.js";
import { Menu } from "../components/menu.js";
import { Page } from "../components/page.js";
import { SecretOnce, useOnce } from "../components/secret.js";
import { EmptyState, ErrorState } from "../components/states.js";
import { DataTable } from "../components/table.js";
import { Time } from "../components/time.js";
import { toast } from "../components/toast.js";

const ROLES = [
  ["viewer", "Viewer: read-only"],
  ["admin", "Admin: can also manage webhooks, keys and retries"],
  ["owner", "Owner: can also manage users, apps and retention"],
];
const path = (user) => `admin/api/users/${encodeURIComponent(user.id)}`;
const word = (role) => role[0].toUpperCase() + role.slice(1);

export default function Users() {
  const list = useLoad(async (signal) => (await get("admin/api/users", {}, { signal })).data);
  const [dialog, setDialog] = useState(null);
  const me = session.value.email;
  const remove = async (user) => {
    const done = await confirm({
      title: "Delete this user?",
      danger: true,
      action: "Delete",
      act: () => del(path(user)),
      text: html`<p><strong>${user.email}</strong> is signed out everywhere and can no longer sign in.</p>`,
    });
    if (done) {
      toast(`${user.email} deleted.`);
      list.reload();
    }
  };
  const columns = useMemo(
    () => [
      {
        key: "email",
        title: "Email",
        card: "head",
        cell: (u) =>
          html`<span class="cut strong" title=${u.email}>${u.email}${u.email === me ? html` <span class="muted">(you)</span>` : ""}</span>`,
      },
      { key: "role", title: "Role", width: "7rem", card: "aside", cell: (u) => word(u.role) },
      {
        key: "seen",
        title: "Last sign-in",
        width: "9rem",
        card: "line",
        cell: (u) =>
          u.last_sign_in_at
            ? html`<span class="card-word">signed in </span><${Time} at=${u.last_sign_in_at} />`
            : html`<span class="muted">Never<span class="card-word"> signed in</span></span>`,
      },
      {
        key: "created",
        title: "Created",
        width: "9rem",
        card: "hide",
        className: "col-opt",
        cell: (u) => html`<${Time} at=${u.created_at} />`,
      },
      {
        key: "actions",
        title: "Actions",
        hidden: true,
        width: "3.4rem",
        card: "foot",
        className: "overflow",
        cell: (u) =>
          html`<div class="row-actions"><${Menu} className="button quiet small icon-only" label="Actions for ${u.email}" items=${[
            { label: "Change role", icon: "users", run: () => setDialog({ role: u }) },
            { label: "Set a new password", icon: "keys", run: () => setDialog({ password: u }) },
            u.email !== me && null,
            u.email !== me && { label: "Delete", icon: "retention", danger: true, run: () => remove(u) },
          ].filter((i) => i !== false)} /></div>`,
      },
    ],
    [timeMode.value, me],
  );
  const close = () => setDialog(null);
  const changed = (text) => {
    close();
    toast(text);
    list.reload();
  };
  return html`<${Page} title="Users" intro="People who can sign in to this dashboard. Programs use API keys instead." actions=${html`<button type="button" class="button primary" onClick=${() => setDialog({ create: true })}><${Icon} name="plus" />New user</button>`}>
    <section class="card flush dense" aria-label="Users">${
      list.error && !list.data
        ? html`<${ErrorState} error=${list.error} retry=${list.reload} />`
        : html`<${DataTable} caption="Users, by email" columns=${columns} rows=${list.data} busy=${list.loading} skeleton=${3} empty=${html`<${EmptyState} icon="users" title="No users" />`} />`
    }</section>
    ${dialog?.create && html`<${NewUser} onClose=${close} onCreated=${list.reload} />`}
    ${dialog?.role && html`<${Role} user=${dialog.role} onClose=${close} onDone=${changed} />`}
    ${dialog?.password && html`<${Password} user=${dialog.password} onClose=${close} onDone=${changed} />`}<//>`;
}

const buttons = (form, action, onClose) =>
  html`<button type="button" class="button" onClick=${onClose}>Cancel</button><${Submit} form=${form}>${action}<//>`;

function NewUser({ onClose, onCreated }) {
  const [created, setCreated] = useState(null);
  const once = useOnce("password");
  const form = useForm({
    initial: { email: "", role: "viewer", password: "" },
    submit: async ({ email, role, password }) => {
      check({ email: email.trim() ? null : "Enter an email.", password: password ? passwordProblem(password) : null });
      const user = await post("admin/api/users", { email: email.trim(), role, ...(password ? { password } : {}) });
      onCreated();
      if (user.password) setCreated(user);
      else {
        onClose();
        toast(`${user.email} can sign in.`);
      }
    },
  });
  if (created)
    return html`<${Dialog} title="${created.email} can sign in" onClose=${onClose} sure=${once.sure} footer=${html`<button type="button" class="button primary" onClick=${onClose}>Done</button>`}><${SecretOnce} once=${once} items=${[["Password", created.password]]}>Pass it on in a safe way. It is shown only once and can be changed after the first sign-in.<//><//>`;
  return html`<${Dialog} title="New user" onClose=${onClose}><${Form} form=${form} footer=${buttons(form, "Create user", onClose)}>
    <${Field} form=${form} name="email" label="Email" type="email" required autocomplete="off" />
    <${Field} form=${form} name="role" label="Role" as="select" options=${ROLES} />
    <${Field} form=${form} name="password" label="Password" optional type="password" autocomplete="new-password" hint="Leave empty to generate one. It is shown only once." /><//><//>`;
}

function Role({ user, onClose, onDone }) {
  const form = useForm({
    initial: { role: user.role },
    submit: async ({ role }) => {
      await patch(path(user), { role });
      onDone(`${user.email} now has the ${role} role.`);
    },
  });
  return html`<${Dialog} title="Change role" onClose=${onClose}><${Form} form=${form} footer=${buttons(form, "Change role", onClose)}>
    <p><strong>${user.email}</strong> is signed out everywhere, so that the new role applies at once.</p><${Field} form=${form} name="role" label="Role" as="select" options=${ROLES} /><//><//>`;
}

function Password({ user, onClose, onDone }) {
  const form = useForm({
    initial: { password: "" },
    submit: async ({ password }) => {
      check({ password: passwordProblem(password) });
      await patch(path(user), { password });
      onDone(`${user.email} has a new password.`);
    },
  });
  return html`<${Dialog} title="Set a new password" onClose=${onClose}><${Form} form=${form} footer=${buttons(form, "Set password", onClose)}>
    <p><strong>${user.email}</strong> is signed out everywhere.</p><${Field} form=${form} name="password" label="New password" type="password" autocomplete="new-password" required hint="At least 10 characters." /><//><//>`;
}
