// Differences of two requests or responses. Pure.

/** Longer texts are not compared line by line: that takes time in proportion to the product of their lengths. */
const LINES = 600;
/** Equal lines that are shown around a difference. */
const AROUND = 2;

/** Names whose values differ, in order: `[name, before, after]`; a missing one is undefined. `same` counts the others. */
export function ofMaps(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].sort();
  const rows = names.map((name) => [name, before?.[name], after?.[name]]);
  const different = rows.filter(([, a, b]) => String(a) !== String(b));
  return { different, same: rows.length - different.length };
}

/** Length of the longest common subsequence of the ends of both texts, from every pair of lines on. */
function lengths(a, b) {
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i * width + j] =
        a[i] === b[j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  return (i, j) => table[i * width + j];
}

/**
 * Lines with what became of them: `["same" | "less" | "more" | "skip", text]`; `skip` stands for a number of equal
 * lines. Null when the texts are too long to compare.
 */
export function ofTexts(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  if (a.length > LINES || b.length > LINES) return null;
  const common = lengths(a, b);
  const all = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      all.push(["same", a[i]]);
      i += 1;
      j += 1;
    } else if (i < a.length && (j >= b.length || common(i + 1, j) >= common(i, j + 1))) {
      all.push(["less", a[i]]);
      i += 1;
    } else {
      all.push(["more", b[j]]);
      j += 1;
    }
  }
  return shortened(all);
}

/** Without equal lines that are far from any difference. */
function shortened(all) {
  const near = all.map((_, at) => all.slice(Math.max(0, at - AROUND), at + AROUND + 1).some(([kind]) => kind !== "same"));
  const out = [];
  for (const [at, line] of all.entries()) {
    if (near[at]) out.push(line);
    else if (out.at(-1)?.[0] === "skip") out.at(-1)[1] += 1;
    else out.push(["skip", 1]);
  }
  return out;
}
