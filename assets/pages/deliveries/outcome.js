// What a row of the log says of its delivery: of a pending one, how the attempt before ended.
import { ERRORS } from "../../format.js";

/** `{status, kind, name, message}` of the newest response or failure; `name` is the kind in words. */
export function outcomeOf(a) {
  const before = a.status === "pending";
  const status = (before ? a.last_response_status : a.response_status) ?? null;
  const kind = (before ? a.last_error_kind : a.error_kind) ?? null;
  const message = (before ? a.last_error_message : a.error_message) ?? null;
  return { status, kind, name: kind ? (ERRORS[kind]?.[0] ?? kind) : null, message };
}

/** A pending delivery that has failed before is shown as one that is being retried. */
export const statusOf = (a) => (a.status === "pending" && a.last_error_kind ? "failed" : a.status);

/** The server’s message as a sentence, without the name or the status that stand beside it. */
export function sentence(message, name) {
  let text = message ?? "";
  const rest = name && text.toLowerCase().startsWith(name.toLowerCase()) ? text.slice(name.length) : null;
  // "connection refused by …" is a sentence only with its beginning.
  if (rest !== null && /^\s*([:,.]|$)/.test(rest)) text = rest;
  text = text.replace(/^HTTP \d{3}\b/, "").replace(/^[\s:,.]+/, "");
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
}
