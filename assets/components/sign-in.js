// The sign-in form: on its own page, and above a page whose session has expired.
import { html, useEffect, useId, useRef } from "../ui.js";
import { again, post } from "../api.js";
import { session, signedIn } from "../state.js";
import { Command, DoorBox, RESET_PASSWORD } from "./door.js";
import { Field, Form, Submit, useForm } from "./form.js";
import { Note } from "./states.js";

/** `onDone` is called after signing in. */
export function SignInForm({ email = "", onDone = () => {} }) {
  const form = useForm({
    initial: { email, password: "" },
    submit: async ({ email: given, password }) => {
      if (!given.trim() || !password) throw new Error("Enter your email and your password.");
      try {
        signedIn(await post("admin/api/session", { email: given.trim(), password }, { quiet: true }));
      } catch (error) {
        // The API says the same about every credential; a person knows which ones these are.
        if (error.status === 401) throw new Error("Wrong email or password.");
        throw error.status === 429 ? new Error(`Too many attempts. ${again(error.retryAfter)}`) : error;
      }
      onDone();
    },
  });
  return html`<${Form} form=${form} footer=${html`<${Submit} form=${form}>Sign in<//>`}>
      <${Field} form=${form} name="email" label="Email" type="email" autocomplete="username" required autofocus=${!email} />
      <${Field}
        form=${form}
        name="password"
        label="Password"
        type="password"
        autocomplete="current-password"
        required
        autofocus=${Boolean(email)}
      /><//>
    <details class="forgotten"><summary>Forgot your password?</summary>
      <div class="stack"><p class="muted">An owner can set a new one under Users. On the server, this command prints a new one:</p>
      <${Command} text=${RESET_PASSWORD} /></div></details>`;
}

/**
 * Covers a page whose session has expired. The page stays as it is below, forms included, and goes on after signing
 * in; its content is not visible meanwhile, because anybody may be sitting there by now.
 */
export function SignInAgain() {
  const ref = useRef(null);
  const id = useId();
  const open = () => ref.current && !ref.current.open && ref.current.showModal();
  useEffect(() => {
    open();
  }, []);
  return html`<dialog
    ref=${ref}
    class="door door-over"
    aria-labelledby=${id}
    onCancel=${(e) => e.preventDefault()}
    onClose=${open}
    ><${DoorBox} title="Sign in" id=${id}><${Note}>Your session has expired. Sign in to continue.<//><${SignInForm} email=${session.value.email} /><//
  ></dialog>`;
}
