// What the whole page knows: who is signed in, which app is meant, how times are shown, what the clock says.
import { HERE } from "./ahead.js";
import { computed, signal } from "./ui.js";

/** `{email, role, csrf_token, apps}`; null when nobody is signed in; undefined until the server was asked. */
export const session = signal(undefined);
/** The app that an owner has chosen; empty means the one that the session has by itself. */
export const appId = signal("");
/** True after a session ended under the reader's hands, so that sign-in can say so. */
export const sessionEnded = signal(false);

/** Whether nobody can sign in yet, as the server said when the page was loaded; null when it was not asked. */
export const setupRequired = signal(null);

const RANK = { viewer: 0, admin: 1, owner: 2 };
/** Whether the person's role is at least this one. The server decides; this only hides what it would refuse. */
export const may = (role) => RANK[session.value?.role ?? ""] >= RANK[role];

export function signedOut() {
  if (session.value) sessionEnded.value = true;
  session.value = null;
}

/** The apps to choose from, and the one that is meant. */
export const apps = computed(() => session.value?.apps ?? []);
export const currentApp = computed(
  () =>
    apps.value.find((a) => a.id === appId.value) ??
    apps.value.find((a) => a.name === "default") ??
    apps.value[0] ??
    null,
);

function stored(key, initial, valid) {
  let value = initial;
  try {
    const kept = localStorage.getItem(key);
    if (valid(kept)) value = kept;
  } catch {
    /* No storage: the choice lasts as long as the page. */
  }
  const own = signal(value);
  own.subscribe((now) => {
    try {
      localStorage.setItem(key, now);
    } catch {
      /* as above */
    }
  });
  return own;
}

/** How times are shown: `relative`, `local` or `utc`. */
export const timeMode = stored("postrider.time", "relative", (v) => ["relative", "local", "utc"].includes(v));

/** Whether this browser had a session when it was last here: a guess that saves a question, nothing more. */
export const wasHere = stored(HERE, "", (v) => v === "1");

/** The time in ms, moved on every 5 seconds: enough for "12 seconds ago" without waking the page all the time. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 5000);
document.addEventListener("visibilitychange", () => {
  now.value = Date.now();
});
