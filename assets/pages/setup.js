// The one-time set-up link: makes the owner's account. Also the frame of the pages before sign-in.
import { html, useEffect } from "../ui.js";
import { post } from "../api.js";
import { go } from "../router.js";
import { session, setupRequired } from "../state.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { Note } from "../components/states.js";

export function Door({ title, children }) {
  useEffect(() => {
    document.title = `${title} · Postrider`;
  }, [title]);
  return html`<main id="main" tabindex="-1" class="door">
    <div class="door-box">
      <div class="brand">
        <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="7" fill="#1d4f91" />
          <path
            d="M9 24V8h8.500a5.500 5.500 0 0 1 0 11H13"
            fill="none"
            stroke="#fff"
            stroke-width="3"
            stroke-linecap="round"
            stroke-linejoin="round"
          />
          <path d="M18.500 19 24 24.500" fill="none" stroke="#9cc3f5" stroke-width="3" stroke-linecap="round" /></svg
        >Postrider
      </div>
      <h1>${title}</h1>
      ${children}
    </div>
  </main>`;
}

export default function Setup({ params }) {
  const form = useForm({
    initial: { email: "", password: "" },
    submit: async ({ email, password }) => {
      session.value = await post(
        "admin/api/setup",
        { token: params.token, email: email.trim(), password },
        { quiet: true },
      );
      setupRequired.value = false;
      go("", null, { replace: true });
    },
  });
  const spent =
    form.error?.fields?.token &&
    "This link was used already, is wrong or has expired. Restart the server for a new one, or make a user on the command line:";
  form.known.current.add("token");
  return html`<${Door} title="Make the owner's account"
    ><p class="muted">The owner manages users, apps and retention, and everything else. This link works once.</p>
    ${
      spent &&
      html`<${Note} tone="bad"
        >${spent}
        <pre class="command"><code>postrider user create --email you@example.com --role owner</code></pre>
      <//>`
    }
    <${Form} form=${form} footer=${html`<${Submit} form=${form}>Make account<//>`}>
      <${Field} form=${form} name="email" label="E-mail" type="email" autocomplete="username" required autofocus />
      <${Field}
        form=${form}
        name="password"
        label="Password"
        type="password"
        autocomplete="new-password"
        required
        hint="Long is better than complicated: a few words will do."
      /> <//
  ><//>`;
}
