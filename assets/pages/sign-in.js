// Sign-in. What was asked for before is opened afterwards (`?next=`).
import { html, useEffect } from "../ui.js";
import { get, post } from "../api.js";
import { go, route } from "../router.js";
import { session, sessionEnded, setupRequired } from "../state.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { Note } from "../components/states.js";
import { Door } from "./setup.js";

export default function SignIn() {
  // Usually known since the page was loaded; only a session that has ended leaves it open.
  useEffect(() => {
    if (setupRequired.value !== null) return;
    get("admin/api/state", {}, { quiet: true }).then(
      (state) => (setupRequired.value = state.setup_required),
      () => {},
    );
  }, []);
  const form = useForm({
    initial: { email: "", password: "" },
    submit: async ({ email, password }) => {
      if (!email.trim() || !password) throw new Error("Enter your e-mail address and your password.");
      try {
        session.value = await post("admin/api/session", { email: email.trim(), password }, { quiet: true });
      } catch (error) {
        // The API says the same about every credential; a person knows which ones these are.
        throw error.status === 401 ? new Error("The e-mail address or the password is wrong.") : error;
      }
      sessionEnded.value = false;
      onward();
    },
  });
  useEffect(() => {
    if (session.value) onward();
  }, [session.value]);
  if (setupRequired.value) {
    return html`<${Door} title="Welcome to Postrider"
      ><p>
        Nobody can sign in yet. The server printed a one-time set-up link when it started; open it to make the owner's
        account.
      </p>
      <p class="muted">
        It is valid for 30 minutes. For a new one, restart the server, or make an account on the command line:
      </p>
      <pre class="command"><code>postrider user create --email you@example.com --role owner</code></pre>
    <//>`;
  }
  return html`<${Door} title="Sign in">
    ${sessionEnded.value && html`<${Note}>Your session has ended. Sign in to go on where you were.<//>`}
    <${Form} form=${form} footer=${html`<${Submit} form=${form}>Sign in<//>`}>
      <${Field} form=${form} name="email" label="E-mail" type="email" autocomplete="username" required autofocus />
      <${Field}
        form=${form}
        name="password"
        label="Password"
        type="password"
        autocomplete="current-password"
        required
      /> <//
  ><//>`;
}

/** Only a path of this page is followed. */
function onward() {
  const next = route.value.query.get("next") ?? "";
  const at = new URL(next.replace(/^\/+/, ""), document.baseURI);
  const base = new URL(document.baseURI);
  if (at.origin !== base.origin || !at.pathname.startsWith(base.pathname)) return go("", null, { replace: true });
  return go(at.pathname.slice(base.pathname.length), at.searchParams, { replace: true });
}
