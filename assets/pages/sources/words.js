// States of sources and outcomes of their requests in words. Pure.

export const OUTCOMES = {
  accepted: { word: "Accepted", tone: "ok", icon: "check", hint: "It became an event." },
  duplicate: { word: "Duplicate", tone: "off", icon: "minus", hint: "Its key was seen within 24 hours. No second event." },
  ignored: { word: "Ignored", tone: "off", icon: "minus", hint: "The setting “accept” does not take it. Nothing was stored." },
  challenge: { word: "Challenge", tone: "info", icon: "check", hint: "The sender checked the URL, and was answered." },
  rejected: { word: "Rejected", tone: "bad", icon: "cross", hint: "A verifier failed. The sender got 401." },
  invalid: { word: "Invalid", tone: "bad", icon: "alert", hint: "The request could not be read." },
};

const DAY = 86_400_000;

/** The state of a source, from what the API says of it: `{word, tone, icon, text}`. */
export function stateOf(a, now) {
  const { accepted, duplicate, ignored, rejected } = a.counts_24h;
  const fine = accepted + duplicate + ignored;
  if (!a.enabled) return { word: "Disabled", tone: "warn", icon: "pause", text: "Its URL is answered like an unknown one." };
  if (!a.last_request_at)
    return { word: "No request yet", tone: "info", icon: "clock", text: "Give the URL to the sender and let it send a test." };
  if (rejected && !fine)
    return { word: "Rejecting", tone: "bad", icon: "alert", text: "All requests of the last 24 hours were rejected: the sender has another secret, or somebody else knows the URL." };
  if (rejected) return { word: "Some rejected", tone: "warn", icon: "alert", text: "Some requests of the last 24 hours were rejected." };
  if (now - Date.parse(a.last_request_at) > DAY) return { word: "Idle", tone: "off", icon: "minus", text: "No request in the last 24 hours." };
  return { word: "Receiving", tone: "ok", icon: "check", text: "Requests arrive and are accepted." };
}

/** Verifiers, each with a short name and what it checks. */
export const VERIFIERS = {
  token: ["Token", "The request carries a secret in a header, a query parameter or as a password."],
  basic: ["User name and password", "HTTP Basic authentication."],
  hmac: ["HMAC signature", "A header holds the HMAC of the body. GitHub, Gitea, Grafana and many others."],
  standard: ["Standard Webhooks", "The headers webhook-id, webhook-timestamp and webhook-signature. Svix, GitLab, OpenAI and others."],
  stripe: ["Stripe signature", "The header Stripe-Signature."],
  slack: ["Slack signature", "The header X-Slack-Signature."],
  address: ["Sender’s address", "The request comes from one of these networks."],
};

/** A verifier in words. */
export function verifierWords(v) {
  const [name] = VERIFIERS[v.kind] ?? [v.kind];
  const where = {
    token: () => (v.in === "header" ? `header ${v.name}` : v.in === "query" ? `query parameter ${v.name}` : "password"),
    basic: () => v.username,
    hmac: () => `header ${v.header}, ${v.algorithm}`,
    address: () => v.networks.join(", "),
  }[v.kind];
  return where ? `${name}: ${where()}` : name;
}
