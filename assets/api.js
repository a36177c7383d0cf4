// The only module that speaks to the server. Responses come back as objects, errors as ApiError; pages never see fetch.
import { address, taken } from "./ahead.js";
import { plural } from "./format.js";
import { appId, away, expired, returns, session, signedInAgain, signedOut } from "./state.js";
import { batch } from "./ui.js";

export { address };
const SAFE = new Set(["GET", "HEAD"]);

/** An error response, or no response at all (status 0). `fields` maps a field or parameter to the sentence about it. */
export class ApiError extends Error {
  constructor(status, errors = [], requestId = null, retryAfter = null) {
    super(errors.map(sentence).join(" ") || fallback(status, retryAfter));
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

function fallback(status, retryAfter) {
  if (status === 0) return "Can’t reach the server. Check that it is running and that you are online.";
  if (status === 429) return `Too many requests. ${again(retryAfter)}`;
  if (status === 502 || status === 503 || status === 504)
    return "The server is busy or stopping. Try again in a moment.";
  return `The server responded with HTTP ${status}.`;
}

/** When to try again, after a 429. */
export const again = (seconds) => (seconds ? `Try again in ${plural(seconds, "second")}.` : "Try again in a moment.");

function headersFor(method, more = {}) {
  const headers = { Accept: "application/json", ...more };
  if (!SAFE.has(method) && session.value?.csrf_token) headers["X-CSRF-Token"] = session.value.csrf_token;
  if (appId.value) headers["X-App-Id"] = appId.value;
  return headers;
}

async function errorOf(response) {
  let errors = [],
    requestId = response.headers.get("X-Request-Id");
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    const body = await response.json();
    errors = body.errors ?? [];
    // Without its sentence about seconds, which fallback() says for people; other 429s have reasons of their own.
    if (response.status === 429 && retryAfter) errors = errors.filter((e) => !/^Rate limit exceeded\./.test(e.detail));
    requestId = body.meta?.request_id ?? requestId;
  } catch {
    // Not the API's envelope: a proxy responds for a server that it does not reach.
    if (GATEWAY.has(response.status)) return lost();
  }
  return new ApiError(response.status, errors, requestId, retryAfter);
}

const GATEWAY = new Set([502, 503, 504]);

/** Whether the server responds. */
const responds = () =>
  fetch(address("admin/api/state"), { cache: "no-store" }).then(
    (response) => !GATEWAY.has(response.status),
    () => false,
  );

let asking = false;
/** No response came. Says so once the server is really away, and asks until it is back. Gives the error to throw. */
function lost() {
  const ask = async () => {
    // A hidden page does not ask; one that is looked at should know at once.
    if (!document.hidden && (await responds())) return found();
    if (!document.hidden) away.value = true;
    return setTimeout(ask, 2000);
  };
  if (!asking) {
    asking = true;
    // A single broken connection is no reason to alarm anybody.
    ask();
  }
  return new ApiError(0);
}

function found() {
  asking = false;
  if (!away.value) return;
  batch(() => {
    away.value = false;
    returns.value += 1;
  });
}

/** Whether the server responds; if not, the page says so. */
export async function isThere() {
  if (await responds()) return true;
  lost();
  return false;
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
    throw lost();
  }
}

/**
 * One request. A 401 means that the session has expired: it is sent again once the same person has signed in, so that
 * no form is lost. `quiet` requests are those of signing in itself.
 */
export async function request(method, path, options = {}) {
  if (expired.value && !options.quiet) return resumed(method, path, options);
  if (method === "GET" && !appId.value && !options.raw) {
    const data = await taken(address(path, options.query).href);
    if (data !== undefined) return data;
  }
  const response = await send(method, path, options);
  if (response.status === 403 && !SAFE.has(method) && session.value && !options.again) {
    // Another tab may have signed in again, which changes the token. Ask for it once.
    const refused = await errorOf(response);
    if (!/csrf/i.test(refused.message)) throw refused;
    session.value = await request("GET", "admin/api/session");
    return request(method, path, { ...options, again: true });
  }
  if (!response.ok) {
    const error = await errorOf(response);
    if (error.status !== 401 || options.quiet) throw error;
    signedOut();
    if (!expired.value) throw error;
    return resumed(method, path, options);
  }
  if (options.raw) return response;
  return response.status === 204 ? null : response.json();
}

async function resumed(method, path, options) {
  if (await signedInAgain(options.signal)) return request(method, path, options);
  throw new ApiError(401);
}

export const get = (path, query, options) => request("GET", path, { ...options, query });
export const post = (path, body, options) => request("POST", path, { ...options, body });
export const put = (path, body, options) => request("PUT", path, { ...options, body });
export const patch = (path, body, options) => request("PATCH", path, { ...options, body });
export const del = (path, options) => request("DELETE", path, options);

/** The items of a list that has pages, up to `most` of them. */
export async function getAll(path, query, { most = 1000, signal } = {}) {
  const all = [];
  let cursor;
  do {
    const { data, links } = await get(path, { ...query, cursor, per_page: 200 }, { signal });
    all.push(...data);
    cursor = links.next && new URL(links.next, location.href).searchParams.get("cursor");
  } while (cursor && all.length < most);
  return all;
}

/** Saves a response as a file, under the name that the server gives it. */
export async function download(path, query, signal) {
  const response = await request("GET", path, { query, raw: true, signal, accept: "*/*" });
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "export";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
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
      const response = await request("GET", path, { query, signal, raw: true, accept: "text/event-stream", headers });
      state("live");
      wait = 1000;
      await read(response.body, (event) => {
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
