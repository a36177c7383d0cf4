// A webhook as values of the form, and back to what the API takes.
import { blankInputs, inputsOf } from "../../components/preset-inputs.js";
import { filterLine, filterOf } from "./filter.js";
import { headersOf, rowsOf } from "./headers.js";
import { requestOf, requestValues, secretsOf } from "./request-body.js";
import { waitsOf } from "./schedule.js";

/** `raw` is the text of the request’s body; `recipe` and `events` are of a new webhook. */
export function initialOf(a, { raw, recipe, events } = {}) {
  return {
    url: a?.url ?? "",
    name: a?.name ?? "",
    description: a?.description ?? "",
    events: a?.events ?? events ?? [],
    headers: rowsOf(a?.headers),
    retry: !a?.retry_schedule ? "configured" : a.retry_schedule.length ? "own" : "none",
    retry_schedule: a?.retry_schedule?.join(", ") ?? "",
    timeout: a?.timeout ?? "",
    rate_limit: a?.rate_limit ? String(a.rate_limit) : "",
    contact: a?.contact ?? "",
    encrypted: a?.encrypted ?? false,
    filter: filterOf(a?.filter),
    ...requestValues(a, raw),
    ...blankInputs(recipe),
  };
}

const rateOf = (text) => (/^\d+$/.test(text) ? Number(text) : text);

/** The attributes for the API; null resets a value. `body` is the text of the request’s body, for `written`. */
export function bodyOf(v, recipe) {
  const limit = v.rate_limit.trim();
  const common = {
    name: v.name.trim() || null,
    description: v.description.trim() || null,
    events: v.events,
    filter: filterLine(v.filter),
    headers: headersOf(v.headers),
    retry_schedule: v.retry === "configured" ? null : v.retry === "none" ? [] : waitsOf(v.retry_schedule),
    timeout: v.timeout.trim() || null,
    contact: v.contact.trim() || null,
  };
  // The recipe says the rest; its rate limit holds unless another one is given.
  if (recipe) return { ...common, ...(limit ? { rate_limit: rateOf(limit) } : {}), preset: { name: recipe.name, inputs: inputsOf(recipe, v) } };
  return { ...common, url: v.url.trim(), encrypted: v.encrypted && !v.shaped, rate_limit: limit ? rateOf(limit) : null, secrets: secretsOf(v), ...requestOf(v) };
}
