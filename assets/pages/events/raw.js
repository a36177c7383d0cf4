// The payload of an event as it was posted. JSON.parse would round its numbers and drop repeated names, so the text
// of the response is cut instead.
import { stringEnd } from "../../components/json-text.js";

/** The text of `/data/attributes/payload` in a response of the API; null when it is no longer kept. */
export function payloadOf(text) {
  let depth = 0,
    begin = null,
    name = false;
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (c === '"') {
      const end = stringEnd(text, at);
      name = depth === 3 && text.slice(at, end) === '"payload"';
      at = end - 1;
      continue;
    }
    if (begin !== null && depth === 3 && (c === "," || c === "}")) {
      const found = text.slice(begin, at).trim();
      return found === "null" ? null : found;
    }
    if (c === "{" || c === "[") depth += 1;
    else if (c === "}" || c === "]") depth -= 1;
    else if (c === ":" && name && depth === 3 && begin === null) begin = at + 1;
    else if (c === " " || c === "\n") continue;
    name = false;
  }
  return null;
}
