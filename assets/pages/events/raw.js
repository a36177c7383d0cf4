// The payload of an event as it was posted. JSON.parse would round its numbers and drop repeated names, so the text
// of the answer is cut instead.
/** The text of `/data/attributes/payload` in an answer of the API; null when it is not kept any more. */
export function payloadOf(text) {
  let depth = 0,
    begin = null,
    name = false;
  for (const m of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    const token = m[0];
    if (begin !== null && depth === 3 && (token === "," || token === "}")) {
      const found = text.slice(begin, m.index).trim();
      return found === "null" ? null : found;
    }
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (token === ":" && name && depth === 3 && begin === null) begin = m.index + 1;
    name = token === '"payload"';
  }
  return null;
}
