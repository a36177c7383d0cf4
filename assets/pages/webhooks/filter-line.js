// A filter as a line of the language, and as rows (path, operator, value). Simple lines are read back into rows; all
// others stay lines. Pure.

/** Operators: name, words, and how many values they take: 0, 1 or a list. */
export const OPERATORS = [
  ["eq", "is", 1],
  ["ne", "is not", 1],
  ["in", "is one of", "list"],
  ["nin", "is none of", "list"],
  ["gt", "is greater than", 1],
  ["ge", "is at least", 1],
  ["lt", "is less than", 1],
  ["le", "is at most", 1],
  ["search", "matches", "regex"],
  ["nsearch", "does not match", "regex"],
  ["defined", "exists", 0],
  ["undefined", "is missing", 0],
  ["true", "is true", 0],
  ["false", "is not true", 0],
];
export const takes = (op) => OPERATORS.find(([name]) => name === op)?.[2] ?? 1;

const SYMBOLS = { eq: "==", ne: "!=", gt: ">", ge: ">=", lt: "<", le: "<=" };
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;
const WORDS = ["true", "false", "none"];
const PATH = /^[A-Za-z_]\w*(\.\w+|\[-?\d+\]|\['(?:[^'\\]|\\.)*'\]|\["(?:[^"\\]|\\.)*"\])*$/;
/** Longer lines are not taken apart. */
const LONGEST = 2048;

export const isPath = (text) => PATH.test(text.trim());

const quoted = (text) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n").replaceAll("\t", "\\t")}'`;
/** In quotes, a value is text, whatever it looks like. */
const inQuotes = (text) => (text.length > 1 && /^(".*"|'.*')$/s.test(text) ? text.slice(1, -1) : null);

function literal(value) {
  const text = value.trim();
  if (NUMBER.test(text) || WORDS.includes(text)) return text;
  return quoted(inQuotes(text) ?? text);
}

/** Commas stand between the values of a list, except in quotes. */
const partsOf = (value) => (value.match(/\s*("[^"]*"|'[^']*'|[^,]+)/g) ?? []).map((part) => part.trim()).filter(Boolean);

function condition({ path, op, value }) {
  const p = path.trim();
  if (SYMBOLS[op]) return `${p} ${SYMBOLS[op]} ${literal(value)}`;
  return {
    in: () => `${p} in [${partsOf(value).map(literal).join(", ")}]`,
    nin: () => `${p} not in [${partsOf(value).map(literal).join(", ")}]`,
    search: () => `${p} is search(${quoted(value)})`,
    nsearch: () => `${p} is not search(${quoted(value)})`,
    defined: () => `${p} is defined`,
    undefined: () => `${p} is not defined`,
    true: () => p,
    false: () => `not ${p}`,
  }[op]();
}

/** `{joined: "and" | "or", rows}` as a line. Rows without a path are left out. */
export const lineOf = ({ joined, rows }) =>
  rows.filter((row) => row.path.trim()).map(condition).join(` ${joined} `);

const TOKEN =
  /\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(==|!=|<=|>=|<|>|\[|\]|\(|\)|,)|([A-Za-z_]\w*(?:\.\w+|\[-?\d+\]|\['(?:[^'\\]|\\.)*'\]|\["(?:[^"\\]|\\.)*"\])*))/y;

function tokensOf(line) {
  const tokens = [];
  let at = 0;
  while (line.slice(at).trim()) {
    TOKEN.lastIndex = at;
    const m = TOKEN.exec(line);
    if (!m) return null;
    at = TOKEN.lastIndex;
    tokens.push(m[1] !== undefined ? { text: unescaped(m[1].slice(1, -1)) } : m[2] !== undefined ? { number: m[2] } : m[3] !== undefined ? { symbol: m[3] } : { word: m[4] });
  }
  return tokens;
}

const ESCAPES = { n: "\n", t: "\t", "\\": "\\", "'": "'", '"': '"' };
const unescaped = (text) => text.replace(/\\(.)/gs, (all, c) => ESCAPES[c] ?? all);

/** A constant as it is shown in a row: text that looks like something else, or would be taken apart, in quotes. */
function shown(token, inList) {
  if (token?.number !== undefined) return token.number;
  if (token?.word !== undefined) return WORDS.includes(token.word) ? token.word : null;
  if (token?.text === undefined) return null;
  const t = token.text;
  const plain = t.trim() === t && t !== "" && !NUMBER.test(t) && !WORDS.includes(t) && inQuotes(t) === null && !(inList && /[,"']/.test(t));
  return plain ? t : t.includes('"') ? (t.includes("'") ? null : `'${t}'`) : `"${t}"`;
}

/** Reads a line; null when it is not as simple as rows are. */
export function rowsOf(line) {
  if (!line.trim()) return { joined: "and", rows: [] };
  const tokens = line.length > LONGEST ? null : tokensOf(line);
  if (!tokens) return null;
  const rows = [];
  let joined = null,
    at = 0;
  const is = (word) => tokens[at]?.word === word;
  while (at <= tokens.length) {
    const found = conditionAt(tokens, at);
    if (!found) return null;
    rows.push(found.row);
    at = found.at;
    if (at === tokens.length) return { joined: joined ?? "and", rows };
    const next = is("and") ? "and" : is("or") ? "or" : null;
    if (!next || (joined && joined !== next)) return null;
    joined = next;
    at += 1;
  }
  return null;
}

const KEYWORDS = ["and", "or", "not", "in", "is", "if", "else", ...WORDS];
const BACK = Object.fromEntries(Object.entries(SYMBOLS).map(([op, symbol]) => [symbol, op]));

function conditionAt(tokens, start) {
  let at = start;
  const word = (text) => tokens[at]?.word === text;
  const negated = word("not");
  if (negated) at += 1;
  const path = tokens[at]?.word;
  if (!path || KEYWORDS.includes(path)) return null;
  at += 1;
  const done = (op, value = "") => (value === null ? null : { row: { path, op, value }, at });
  const symbol = BACK[tokens[at]?.symbol];
  if (negated) return symbol || word("in") || word("is") || word("not") ? null : done("false");
  if (symbol) {
    const value = shown(tokens[at + 1]);
    at += 2;
    return done(symbol, value);
  }
  if (word("in") || (word("not") && tokens[at + 1]?.word === "in")) {
    const op = word("in") ? "in" : "nin";
    at += op === "in" ? 1 : 2;
    const list = listAt(tokens, at);
    if (!list) return null;
    at = list.at;
    return done(op, list.value);
  }
  if (word("is")) {
    at += 1;
    const not = word("not");
    if (not) at += 1;
    if (word("defined")) {
      at += 1;
      return done(not ? "undefined" : "defined");
    }
    if (!word("search") || tokens[at + 1]?.symbol !== "(" || tokens[at + 2]?.text === undefined || tokens[at + 3]?.symbol !== ")") return null;
    const value = tokens[at + 2].text;
    at += 4;
    return done(not ? "nsearch" : "search", value);
  }
  return done("true");
}

function listAt(tokens, start) {
  if (tokens[start]?.symbol !== "[") return null;
  const values = [];
  for (let at = start + 1; at < tokens.length; at += 2) {
    const value = shown(tokens[at], true);
    if (value === null) return null;
    values.push(value);
    const next = tokens[at + 1]?.symbol;
    if (next === "]") return { value: values.join(", "), at: at + 2 };
    if (next !== ",") return null;
  }
  return null;
}
