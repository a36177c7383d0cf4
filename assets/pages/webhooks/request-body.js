// The request of a webhook as values of the form, and back to what the API takes. Bodies stay text, because JSON.parse
// would round large numbers in them.
import { objectOf, pairsOf, pairsProblem } from "../../components/pairs.js";
import { prettyOf } from "../../components/json-text.js";

export const METHODS = ["POST", "PUT", "PATCH", "GET", "DELETE"];
const MASK = "********";

/** `raw` is the text of `request.body` in the response of the API. */
export function requestValues(a, raw) {
  const r = a?.request;
  return {
    shaped: Boolean(r),
    "request/method": r?.method ?? "POST",
    "request/content": r?.content ?? "json",
    "request/content_type": r?.content_type ?? "",
    "request/body": bodyText(r, raw),
    "request/query": pairsOf(r?.query),
    "request/headers": pairsOf(r?.headers),
    "request/sign": r?.sign ?? true,
    "request/expect": r?.expect ?? "",
    "request/final": (r?.final ?? []).join(", "),
    "request/retry_after/pointer": r?.retry_after?.pointer ?? "",
    "request/retry_after/unit": r?.retry_after?.unit ?? "s",
    secrets: pairsOf(a?.secrets, { secret: true }),
  };
}

function bodyText(r, raw) {
  if (!r || r.body === undefined || r.body === null) return "";
  if (r.content === "text") return r.body;
  return (raw && prettyOf(raw)) || raw || JSON.stringify(r.body, null, 2);
}

/** Contents that have a body. */
export const hasBody = (content) => ["json", "form", "text"].includes(content);

/** `{request, body}`: the body is the text of a JSON value, put in with `written`. */
export function requestOf(v) {
  if (!v.shaped) return { request: null };
  const content = v["request/content"];
  const pointer = v["request/retry_after/pointer"].trim();
  const text = v["request/body"];
  return {
    request: {
      method: v["request/method"],
      content,
      content_type: v["request/content_type"].trim() || null,
      query: objectOf(v["request/query"]) ?? {},
      headers: objectOf(v["request/headers"]) ?? {},
      sign: v["request/sign"],
      expect: v["request/expect"].trim() || null,
      final: v["request/final"].split(/[\s,]+/).filter(Boolean).map(Number),
      retry_after: pointer ? { pointer, unit: v["request/retry_after/unit"] } : null,
    },
    body: !hasBody(content) || !text.trim() ? null : content === "text" ? JSON.stringify(text) : text,
  };
}

export const secretsOf = (v) => objectOf(v.secrets, MASK);

/** JSON of the attributes, with the body as it was typed. */
export function written({ body, ...attributes }) {
  if (!attributes.request || body === null || body === undefined) return JSON.stringify(attributes);
  const mark = `body ${crypto.getRandomValues(new Uint32Array(4)).join("")}`;
  return JSON.stringify({ ...attributes, request: { ...attributes.request, body: mark } }).replace(JSON.stringify(mark), () => body);
}

/** What can be said better here than by the API: sentences by field. */
export function requestProblems(v) {
  const secrets = pairsProblem(v.secrets, "secret");
  if (!v.shaped) return { secrets };
  const content = v["request/content"];
  return {
    secrets,
    "request/query": pairsProblem(v["request/query"], "parameter"),
    "request/headers": pairsProblem(v["request/headers"], "header"),
    "request/body": hasBody(content) && content !== "text" && v["request/body"].trim() ? jsonProblem(v["request/body"], content) : null,
    "request/final": v["request/final"].split(/[\s,]+/).filter(Boolean).every((s) => /^\d{3}$/.test(s)) ? null : "Enter statuses such as 400, 404.",
  };
}

function jsonProblem(text, content) {
  try {
    const value = JSON.parse(text);
    if (content === "form" && (value === null || typeof value !== "object" || Array.isArray(value))) return "A form is a JSON object of texts, such as {\"message\": \"{{ summary.title }}\"}.";
    return null;
  } catch (e) {
    return `Not valid JSON: ${e.message}. Templates stand in its strings, such as "{{ summary.title }}".`;
  }
}
