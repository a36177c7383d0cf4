// Sign-in. What was asked for before is opened afterwards (`?next=`).
import { html, useEffect } from "../ui.js";
import { get } from "../api.js";
import { go, route } from "../router.js";
import { session, setupRequired } from "../state.js";
import { CREATE_OWNER, Command, Door } from "../components/door.js";
import { SignInForm } from "../components/sign-in.js";

export default function SignIn() {
  // Usually known since the page was loaded.
  useEffect(() => {
    if (setupRequired.value !== null) return;
    get("admin/api/state", {}, { quiet: true }).then(
      (state) => (setupRequired.value = state.setup_required),
      () => {},
    );
  }, []);
  useEffect(() => {
    if (session.value) onward();
  }, [session.value]);
  if (setupRequired.value) {
    return html`<${Door} title="Welcome to Postrider"
      ><p>
        No users yet. The server printed a one-time set-up link when it started. Open it to create the owner account.
      </p>
      <p class="muted">
        The link is valid for 30 minutes. For a new one, restart the server, or create the owner on the command line:
      </p>
      <${Command} text=${CREATE_OWNER} /><//
    >`;
  }
  return html`<${Door} title="Sign in"><${SignInForm} onDone=${onward} /><//>`;
}

/** Only a path of this page is followed. */
function onward() {
  const next = route.value.query.get("next") ?? "";
  const at = new URL(next.replace(/^\/+/, ""), document.baseURI);
  const base = new URL(document.baseURI);
  if (at.origin !== base.origin || !at.pathname.startsWith(base.pathname)) return go("", null, { replace: true });
  return go(at.pathname.slice(base.pathname.length), at.searchParams, { replace: true });
}
