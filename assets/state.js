// State shared by all pages: the session, the chosen app, the time display, the clock.
import { HERE } from "./ahead.js";
import { batch, computed, signal } from "./ui.js";

/** `{email, role, csrf_token, apps}`; null when nobody is signed in; undefined until the server was asked. */
export const session = signal(undefined);
/** The app that an owner has chosen; empty for the default of the session. */
export const appId = signal("");
/** True from the end of a session until the next sign-in. The page stays as it is, below the form that asks for it. */
export const expired = signal(false);
/** True while the server does not respond. */
export const away = signal(false);
/** Counts how often the server came back: whatever is loaded is then loaded again. */
export const returns = signal(0);

/** Whether there are no users yet, as the server said when the page was loaded; null before it was asked. */
export const setupRequired = signal(null);

const RANK = { viewer: 0, admin: 1, owner: 2 };
/** Whether the person’s role is at least this one. The server decides; this only hides what it would refuse. */
export const may = (role) => RANK[session.value?.role ?? ""] >= RANK[role];

/** The server refused the session. Nothing is thrown away: what was typed is still there after signing in again. */
export function signedOut() {
  if (session.value) expired.value = true;
  else session.value = null;
}

/** Somebody has signed in. */
export function signedIn(who) {
  batch(() => {
    session.value = who;
    expired.value = false;
    if (appId.value && !who.apps.some((app) => app.id === appId.value)) appId.value = "";
  });
}

/** Waits for the next sign-in; gives whether it was the same person. Rejects when `signal` aborts. */
export function signedInAgain(signal) {
  const before = session.value?.email;
  return new Promise((done, refuse) => {
    const abort = () => {
      stop();
      refuse(signal.reason);
    };
    const stop = expired.subscribe((over) => {
      if (over) return;
      signal?.removeEventListener("abort", abort);
      // Not within the subscription, which is still being made when it is called for the first time.
      queueMicrotask(() => {
        stop();
        done(session.value?.email === before);
      });
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** The apps to choose from, and the current one. */
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

/** The time in ms, updated every 5 seconds: enough for "12 seconds ago" without waking the page all the time. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 5000);
document.addEventListener("visibilitychange", () => {
  now.value = Date.now();
});
