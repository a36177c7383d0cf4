// A source as values of the form, and back to what the API takes.
import { check } from "../../components/form.js";

const MASK = "********";
const PARTS = ["title", "message", "link", "level"];
let next = 1;

/** A verifier without values. */
export const blankVerifier = (kind) => ({
  key: next++,
  kind,
  at: null,
  in: "header",
  name: "",
  prefix: "",
  secret: "",
  second: "",
  kept: 0,
  list: false,
  username: "",
  header: "",
  algorithm: "sha256",
  encoding: "hex",
  content: "",
  form: "text",
  timestamp: "",
  tolerance: "",
  networks: "",
});

/** From the API. `kept` counts the secrets that stay if nothing is entered; `at` is where they belong. */
function verifierOf(v, at) {
  const { kind, secret, networks, key: form = "text", ...rest } = v;
  const kept = Array.isArray(secret) ? secret.length : secret ? 1 : 0;
  const texts = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null));
  if (texts.content === "{body}") texts.content = "";
  return { ...blankVerifier(kind), ...texts, form, networks: networks?.join(", ") ?? "", kept, at, list: Array.isArray(secret) };
}

function secretOf(v) {
  const first = v.secret || (v.kept > 0 ? MASK : "");
  const second = v.second || (v.kept > 1 ? MASK : "");
  if (second) return [first, second];
  return v.list ? [first] : first;
}

const text = (value) => value.trim() || undefined;

/** To the API; what has a default is left out when it is empty. */
function writeVerifier(v) {
  const base = { kind: v.kind };
  if (v.kind === "address") return { ...base, networks: v.networks.split(/[\s,]+/).filter(Boolean) };
  const own = {
    token: () => ({ in: v.in, name: text(v.name), prefix: v.prefix || undefined }),
    basic: () => ({ username: v.username.trim() }),
    hmac: () => ({
      header: v.header.trim(),
      algorithm: v.algorithm,
      encoding: v.encoding,
      key: v.form,
      prefix: v.prefix || undefined,
      content: v.content || undefined,
      timestamp: text(v.timestamp),
      tolerance: v.timestamp.trim() ? text(v.tolerance) : undefined,
    }),
  }[v.kind];
  return { ...base, ...own?.(), secret: secretOf(v) };
}

export function initialOf(a, name = "") {
  const challenge = a?.challenge?.kind ?? a?.challenge ?? "";
  return {
    name: a?.name ?? name,
    enabled: a?.enabled ?? true,
    verify: (a?.verify ?? []).map(verifierOf),
    methods: a?.methods ?? ["POST", "PUT"],
    event_type: a?.event_type ?? "",
    resource_id: a?.resource_id ?? "",
    dedupe: a?.dedupe ?? "",
    accept: a?.accept ?? "",
    json_field: a?.json_field ?? "payload",
    challenge,
    "challenge/verify_token": "",
    token_kept: challenge === "meta",
    "response/status": String(a?.response.status ?? 200),
    "response/content_type": a?.response.content_type ?? "application/json",
    "response/body": a?.response.body ?? "",
    ...Object.fromEntries(PARTS.map((part) => [`summary/${part}`, a?.summary?.[part] ?? ""])),
    rate_limit: a ? String(a.rate_limit ?? "0") : "600/m",
  };
}

/** The body for the API; null resets a value. */
export function bodyOf(v) {
  const summary = Object.fromEntries(PARTS.map((part) => [part, v[`summary/${part}`] || null]));
  return {
    name: v.name.trim(),
    enabled: v.enabled,
    verify: v.verify.map(writeVerifier),
    methods: v.methods,
    event_type: v.event_type.trim() || null,
    resource_id: v.resource_id.trim() || null,
    dedupe: v.dedupe.trim() || null,
    accept: v.accept.trim() || null,
    json_field: v.json_field.trim() || null,
    challenge: challengeOf(v),
    response: {
      status: Number(v["response/status"]),
      content_type: v["response/content_type"].trim() || null,
      body: v["response/body"] || null,
    },
    summary: PARTS.some((part) => summary[part]) ? summary : null,
    rate_limit: v.rate_limit.trim() || null,
  };
}

const challengeOf = (v) =>
  v.challenge === "meta" ? { kind: "meta", verify_token: v["challenge/verify_token"] || (v.token_kept ? MASK : "") } : v.challenge || null;

/** What the API could not know: a kept secret belongs to the place where it was. */
export function checkSource(v) {
  const moved = v.verify.findIndex((one, i) => one.kept > 0 && one.at !== i && !one.secret);
  check({
    ...(moved >= 0 ? { [`verify/${moved}/secret`]: "Enter the secret again: the verifier has moved, and secrets cannot be read back." } : {}),
    methods: v.methods.length ? null : "Choose at least one method.",
  });
}
