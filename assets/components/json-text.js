// JSON as text: indented and cut without parsing it into values, which would round large numbers and drop repeated
// names. Pure. The text is a stranger’s: everything here takes time in proportion to its length, whatever is in it.

/** Longer texts are shown as they are, in characters. */
const LONGEST = 500_000;
/** Indented text may become this long; deep nesting makes it much longer than the text itself. */
const LONGEST_PRETTY = 1_000_000;
/** Deeper levels are indented like this one. */
const DEEPEST = 32;
const STEPS = Array.from({ length: DEEPEST + 1 }, (_, n) => `\n${"  ".repeat(n)}`);
const QUOTE = 34,
  BACKSLASH = 92;

/** Where the string that begins at `at` ends: behind its closing quote. */
export function stringEnd(text, at) {
  for (let i = at + 1; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === BACKSLASH) i += 1;
    else if (c === QUOTE) return i + 1;
  }
  return text.length;
}

/** The tokens of a JSON text, without the white space between them. */
function* tokens(text) {
  let at = 0;
  const other = /[^\s{}[\],:"]+|[{}[\],:]|\s+/y;
  while (at < text.length) {
    if (text.charCodeAt(at) === QUOTE) {
      const end = stringEnd(text, at);
      yield text.slice(at, end);
      at = end;
      continue;
    }
    other.lastIndex = at;
    const [token] = other.exec(text);
    at += token.length;
    if (token.trim()) yield token;
  }
}

/** Indented by its own characters; null when it is neither an object nor a list, or would be too long. */
export function prettyOf(text) {
  const t = (text ?? "").trim();
  if (t.length > LONGEST || !/^[[{]/.test(t) || !isJson(t)) return null;
  const parts = [];
  let length = 0,
    depth = 0,
    before = "";
  const put = (part) => {
    parts.push(part);
    length += part.length;
  };
  const line = () => put(STEPS[Math.min(depth, DEEPEST)]);
  for (const token of tokens(t)) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    // A new line behind `{`, `[` and `,`, and before `}` and `]`; empty ones stay together.
    if (closes ? before !== "{" && before !== "[" : before === "{" || before === "[" || before === ",") line();
    put(token === ":" ? ": " : token);
    if (token === "{" || token === "[") depth += 1;
    if (length > LONGEST_PRETTY) return null;
    before = token;
  }
  return parts.join("");
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * The text of a value below these names in a JSON text, as it stands there; null when it is not there. JSON.parse would
 * round its numbers and drop repeated names.
 */
export function rawAt(text, path) {
  let depth = 0,
    matched = 0,
    begin = null,
    name = null;
  for (let at = 0; at < text.length; at += 1) {
    const c = text.charCodeAt(at);
    if (c === QUOTE) {
      const end = stringEnd(text, at);
      name = text.slice(at + 1, end - 1);
      at = end - 1;
      continue;
    }
    const closes = c === 125 || c === 93;
    if (begin !== null && depth === path.length && (closes || c === 44)) return text.slice(begin, at).trim();
    if (c === 123 || c === 91) depth += 1;
    else if (closes) {
      depth -= 1;
      matched = Math.min(matched, depth);
    } else if (c === 44) matched = Math.min(matched, depth - 1);
    else if (c === 58 && begin === null && depth === matched + 1 && name === path[matched]) {
      matched += 1;
      if (matched === path.length) begin = at + 1;
    }
  }
  return null;
}
