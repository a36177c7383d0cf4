// Numbers, durations, times and states in words. Pure: no markup, no requests.
const whole = new Intl.NumberFormat("en");
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const NONE = "–";
export const number = (n) => (n === null || n === undefined ? NONE : whole.format(n));
export const plural = (n, word, many = `${word}s`) => `${number(n)} ${n === 1 ? word : many}`;
/** A count from a list's `meta`: "10,000+" when the server stopped counting. */
export const total = (meta) => (meta?.total_capped ? `${number(meta.total)}+` : number(meta?.total));

/** 99.95 is not shown as 100: a rate is rounded down, so that "100 %" means all of them. */
export const percent = (p) => (p === null || p === undefined ? NONE : `${one.format(Math.floor(p * 10) / 10)} %`);

/** Milliseconds in words. */
export function duration(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms < 1) return "< 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return span(ms);
}

/** A longer time, in its two largest units. */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 && s < 600 ? ` ${s % 60} s` : ""}`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h${s % 3600 >= 60 ? ` ${Math.floor((s % 3600) / 60)} min` : ""}`;
  return `${Math.floor(s / 86_400)} d${s % 86_400 >= 3600 ? ` ${Math.floor((s % 86_400) / 3600)} h` : ""}`;
}

export function bytes(n) {
  if (n === null || n === undefined) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i += 1;
  }
  return `${i && n < 10 ? one.format(n) : whole.format(Math.round(n))} ${units[i]}`;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
/** "3m ago", "in 40s". */
export function ago(time, now) {
  const s = Math.round((new Date(time) - now) / 1000);
  const a = Math.abs(s);
  if (a < 5) return "just now";
  if (a < 60) return relative.format(s, "second");
  if (a < 3600) return relative.format(Math.trunc(s / 60), "minute");
  if (a < 86_400) return relative.format(Math.trunc(s / 3600), "hour");
  return relative.format(Math.trunc(s / 86_400), "day");
}

const pad = (n, width = 2) => String(n).padStart(width, "0");
const clock = (y, mo, d, h, mi, s) => `${y}-${pad(mo)}-${pad(d)} ${pad(h)}:${pad(mi)}:${pad(s)}`;
export function utc(time) {
  const t = new Date(time);
  return `${clock(t.getUTCFullYear(), t.getUTCMonth() + 1, t.getUTCDate(), t.getUTCHours(), t.getUTCMinutes(), t.getUTCSeconds())}Z`;
}
export function local(time) {
  const t = new Date(time);
  return clock(t.getFullYear(), t.getMonth() + 1, t.getDate(), t.getHours(), t.getMinutes(), t.getSeconds());
}
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** "21 Nov 23:34:42": the year only when it is not this one. `mode` is `utc` or `local`. */
export function short(time, mode, now = Date.now()) {
  const text = mode === "utc" ? utc(time) : local(time);
  const [year, month, rest] = [text.slice(0, 4), Number(text.slice(5, 7)), text.slice(11)];
  return `${Number(text.slice(8, 10))} ${MONTHS[month - 1]}${year === (mode === "utc" ? utc(now) : local(now)).slice(0, 4) ? "" : ` ${year}`} ${rest}`;
}
/** Both, to the millisecond, for a tooltip. */
export function exact(time) {
  const t = new Date(time);
  const offset = -t.getTimezoneOffset();
  const zone = `UTC${offset < 0 ? "−" : "+"}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
  const ms = `.${pad(t.getMilliseconds(), 3)}`;
  return `${utc(time).slice(0, -1)}${ms} UTC\n${local(time)}${ms} local (${zone})`;
}

/** The status of an attempt as the page says it: word, tone and icon. */
export const ATTEMPT = {
  delivered: { word: "Delivered", tone: "ok", icon: "check", hint: "The receiver responded with 2xx." },
  exhausted: { word: "Failed", tone: "bad", icon: "cross", hint: "Failed: no retries left." },
  failed: {
    word: "Failed, retrying",
    tone: "warn",
    icon: "redo",
    hint: "This attempt failed. The delivery has a later attempt.",
  },
  pending: { word: "Pending", tone: "info", icon: "clock", hint: "Scheduled or in flight." },
  cancelled: {
    word: "Cancelled",
    tone: "off",
    icon: "minus",
    hint: "The webhook was deleted or disabled before it was sent.",
  },
};
/**
 * The sentence of a state without its beginning, where state and time stand beside it: "On hold since 29 Nov 09:21 UTC:
 * 5 attempts failed" → "5 attempts failed".
 */
export function causeOf(message) {
  const rest = message.replace(/^On hold since [^:]*:\d\d UTC(:| because) /, "");
  return rest[0].toUpperCase() + rest.slice(1);
}
export const JOB = {
  running: { word: "Running", tone: "info", icon: "clock" },
  done: { word: "Done", tone: "ok", icon: "check" },
  cancelled: { word: "Cancelled", tone: "off", icon: "minus" },
};
/** The state of a webhook’s health, from the worst to the best. */
export const STATE = {
  disabled: { word: "Disabled", tone: "bad", icon: "cross", hint: "New events are not delivered." },
  paused: { word: "Paused", tone: "warn", icon: "pause", hint: "Deliveries are queued until it is resumed." },
  on_hold: { word: "On hold", tone: "bad", icon: "alert", hint: "Deliveries stay pending; only probes are sent." },
  failing: { word: "Failing", tone: "bad", icon: "alert" },
  degraded: { word: "Degraded", tone: "warn", icon: "alert" },
  idle: { word: "Idle", tone: "off", icon: "minus", hint: "No event in the last 24 hours." },
  healthy: { word: "Healthy", tone: "ok", icon: "check" },
};
/** Kinds of failure: a short name and its meaning. */
export const ERRORS = {
  dns: ["Name not found", "The host name could not be resolved."],
  connect: ["Connection refused", "No connection could be made."],
  tls: ["TLS error", "The secure connection could not be set up."],
  timeout: ["Timeout", "No complete response arrived within the time limit."],
  http_status: ["HTTP error", "The receiver responded, but not with 2xx."],
  blocked_address: ["Blocked address", "The network rules of this server block the address."],
  protocol: ["Protocol error", "The response was not valid HTTP, or the connection broke."],
  interrupted: ["Interrupted", "The server stopped while the request was in flight; it is sent again."],
  local: ["Local", "Nothing was sent, for a cause of the Postrider server. It is tried again and does not count."],
};
export const TRIGGERS = {
  event: "Event",
  retry: "Automatic retry",
  manual: "Manual retry",
  recover: "Recovery",
  replay: "Replay",
  test: "Test",
};
