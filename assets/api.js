// The only module that speaks to the server. Answers come back as objects, refusals as ApiError; pages never see fetch.
import { address, taken } from "./ahead.js";
import { session, appId, signedOut } from "./state.js";

export { address };
const SAFE = new Set(["GET", "HEAD"]);

/** A refusal, or no answer at all (status 0). `fields` maps a field or parameter to the sentence about it. */
export class ApiError extends Error {
  constructor(status, errors = [], requestId = null, retryAfter = null) {
    super(errors.map(sentence).join(" ") || fallback(status));
    this.name = "ApiError";
    this.status = status;
    this.errors = errors;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
    this.fields = {};
    for (const e of errors) {
      const place = placeOf(e);
      if (place) this.fields[place] = this.fields[place] ? `${this.fields[place]} ${e.detail}` : e.detail;
    }
  }
  /** What belongs to no field of the form. */
  general(known = []) {
    const rest = this.errors.filter((e) => !known.includes(placeOf(e)));
    return rest.length || !this.errors.length ? rest.map(sentence).join(" ") || this.message : "";
  }
}

/** `/events/3` → `events/3`; a parameter is named as it is. */
const placeOf = (e) => e.source?.pointer?.replace(/^\//, "") ?? e.source?.parameter ?? null;

function sentence(e) {
  const place = placeOf(e);
  const text = e.detail || e.title || "";
  return place && !text.includes(place) ? `${place}: ${text}` : text;
}

function fallback(status) {
  if (status === 0) return "The server cannot be reached. Is it running, and is the network up?";
  if (status === 429) return "Too many requests. Try again in a moment.";
  if (status === 502 || status === 503 || status === 504)
    return "The server is busy or stopping. Try again in a moment.";
  return `The server answered with HTTP ${status}.`;
}

function headersFor(method, more = {}) {
  const headers = { Accept: "application/json", ...more };
  if (!SAFE.has(method) && session.value?.csrf_token) headers["X-CSRF-Token"] = session.value.csrf_token;
  if (appId.value) headers["X-App-Id"] = appId.value;
  return headers;
}

async function refusal(answer) {
  let errors = [],
    requestId = answer.headers.get("X-Request-Id");
  try {
    const body = await answer.json();
    errors = body.errors ?? [];
    requestId = body.meta?.request_id ?? requestId;
  } catch {
    /* Not the envelope: a proxy in between, say. The status has to do. */
  }
  return new ApiError(answer.status, errors, requestId, Number(answer.headers.get("Retry-After")) || null);
}

async function send(method, path, { query, body, signal, accept, headers } = {}) {
  const own = {
    ...(accept ? { Accept: accept } : {}),
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    ...headers,
  };
  try {
    return await fetch(address(path, query), {
      method,
      signal,
      credentials: "same-origin",
      cache: "no-store",
      headers: headersFor(method, own),
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new ApiError(0);
  }
}

/** One request. A 401 means that the session has ended: the page goes to sign-in, unless `quiet`. */
export async function request(method, path, options = {}) {
  if (method === "GET" && !appId.value && !options.raw) {
    const data = await taken(address(path, options.query).href);
    if (data !== undefined) return data;
  }
  let answer = await send(method, path, options);
  if (answer.status === 403 && !SAFE.has(method) && session.value && !options.again) {
    // Another tab may have signed in anew, which changes the token. Ask for it once.
    const refused = await refusal(answer);
    if (!/csrf/i.test(refused.message)) throw refused;
    session.value = await request("GET", "admin/api/session");
    return request(method, path, { ...options, again: true });
  }
  if (!answer.ok) {
    const error = await refusal(answer);
    if (error.status === 401 && !options.quiet) signedOut();
    throw error;
  }
  if (options.raw) return answer;
  return answer.status === 204 ? null : answer.json();
}

export const get = (path, query, options) => request("GET", path, { ...options, query });
export const post = (path, body, options) => request("POST", path, { ...options, body });
export const put = (path, body, options) => request("PUT", path, { ...options, body });
export const patch = (path, body, options) => request("PATCH", path, { ...options, body });
export const del = (path, options) => request("DELETE", path, options);

/** Saves an answer as a file, under the name that the server gives it. */
export async function download(path, query, signal) {
  const answer = await request("GET", path, { query, raw: true, signal, accept: "*/*" });
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "export";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return name;
}

/**
 * Follows a stream of server-sent events until `signal` aborts, coming back by itself with Last-Event-ID.
 * EventSource cannot send X-App-Id, so this reads the stream with fetch. `on` gets {event, id, data};
 * `state` gets "live" or "waiting".
 */
export async function follow(path, query, { on, state = () => {}, signal, lastId = null }) {
  let wait = 1000;
  while (!signal.aborted) {
    try {
      const headers = lastId === null ? {} : { "Last-Event-ID": String(lastId) };
      const answer = await request("GET", path, { query, signal, raw: true, accept: "text/event-stream", headers });
      state("live");
      wait = 1000;
      await read(answer.body, (event) => {
        if (event.id) lastId = event.id;
        on(event);
      });
    } catch (e) {
      if (signal.aborted || e.status === 401 || e.status === 403 || e.status === 422) return;
    }
    state("waiting");
    await new Promise((done) => {
      setTimeout(done, wait);
      signal.addEventListener("abort", done, { once: true });
    });
    wait = Math.min(wait * 2, 30_000);
  }
}

async function read(stream, on) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { event: "message", id: null, data: "" };
      for (const line of block.split("\n")) {
        const [, name, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name === "data") event.data += text;
        else if (name) event[name] = text;
      }
      if (event.data) on(event);
    }
  }
}
