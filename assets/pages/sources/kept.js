// Secrets that were entered a moment ago, so that they can be copied into the sender. Only in memory: they are gone
// when the page is loaded again.
const kept = new Map();

export const keep = (id, secrets) => kept.set(id, secrets);
export const secretsOf = (id) => kept.get(id) ?? [];
