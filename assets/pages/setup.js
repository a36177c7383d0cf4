// The one-time set-up link: makes the owner's account. Also the frame of the pages before sign-in.
import { html, useEffect } from "../ui.js";
import { post } from "../api.js";
import { go } from "../router.js";
import { session, setupRequired } from "../state.js";
import { Field, Form, Submit, useForm } from "../components/form.js";
import { Logo } from "../components/icon.js";
import { Note } from "../components/states.js";

export function Door({ title, children }) {
  useEffect(() => {
    document.title = `${title} · Postrider`;
  }, [title]);
  return html`<main id="main" tabindex="-1" class="door">
    <div class="door-box">
      <div class="brand"><${Logo} size=${26} />Postrider</div>
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
