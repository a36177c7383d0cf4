// The one-time set-up link: creates the owner account. Whether the link still works is asked before the form is shown.
import { html } from "../ui.js";
import { get, post } from "../api.js";
import { go, href } from "../router.js";
import { setupRequired, signedIn } from "../state.js";
import { CREATE_OWNER, Command, Door, RESET_PASSWORD } from "../components/door.js";
import { Field, Form, Submit, check, passwordProblem, useForm } from "../components/form.js";
import { useLoad } from "../components/load.js";
import { ErrorState, Note, Skeleton } from "../components/states.js";

export default function Setup({ params: { token } }) {
  const load = useLoad(async (signal) => {
    const { setup_required: required } = await get("admin/api/state", {}, { signal, quiet: true });
    const open = required && (await post("admin/api/setup/check", { token }, { signal, quiet: true })).open;
    return { required, open };
  });
  const { data: link, error } = load;
  if (!link)
    return html`<${Door} title="Create the owner account"
      >${error ? html`<${ErrorState} error=${error} retry=${load.reload} />` : html`<${Skeleton} lines=${5} />`}<//
    >`;
  if (!link.required) return html`<${TooLate} />`;
  if (!link.open) return html`<${Spent} />`;
  return html`<${Create} token=${token} onSpent=${load.reload} />`;
}

function Create({ token, onSpent }) {
  const form = useForm({
    initial: { email: "", password: "" },
    submit: async ({ email, password }) => {
      check({ email: email.trim() ? null : "Enter your email.", password: passwordProblem(password) });
      try {
        signedIn(await post("admin/api/setup", { token, email: email.trim(), password }, { quiet: true }));
      } catch (error) {
        // Somebody else was faster, or the half hour is over.
        if (error.fields?.token) onSpent();
        throw error;
      }
      setupRequired.value = false;
      go("", null, { replace: true });
    },
  });
  form.known.current.add("token");
  return html`<${Door} title="Create the owner account"
    ><p class="muted">The owner manages users, apps, retention and everything else. This link works once.</p>
    <${Form} form=${form} footer=${html`<${Submit} form=${form}>Create account<//>`}>
      <${Field} form=${form} name="email" label="Email" type="email" autocomplete="username" required autofocus />
      <${Field}
        form=${form}
        name="password"
        label="Password"
        type="password"
        autocomplete="new-password"
        required
        hint="At least 10 characters. A few random words work well."
      /> <//
  ><//>`;
}

const Spent = () =>
  html`<${Door} title="This link does not work"
    ><${Note} tone="bad">This link is invalid, expired, or already used.<//>
    <p>There are no users yet. Restart the server for a new link, or create the owner on the command line:</p>
    <${Command} text=${CREATE_OWNER}
  /><//>`;

const TooLate = () =>
  html`<${Door} title="Already set up"
    ><p>This link is no longer needed: there is an account already.</p>
    <a class="button primary" href=${href("sign-in")}>Sign in</a>
    <p class="muted">Forgot the password? On the server, this command prints a new one:</p>
    <${Command} text=${RESET_PASSWORD} />
    <p class="muted">An owner can create accounts for others under Users. The command line can, too:</p>
    <${Command} text=${CREATE_OWNER}
  /><//>`;
