// A client over the types that openapi-typescript has generated, against a real server: create, post, batch,
// list, read, retry, verify. The compiler checks each body and each field; node checks what comes.
// Usage: node client.js URL TOKEN

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Delivery = components["schemas"]["WebhookDelivery"];

declare const process: { argv: string[] };
const [url, token] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

function assert(holds: unknown, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** The data of a response, which must have this status. */
function expect<T>(status: number, result: { data?: T; error?: unknown; response: Response }): T {
  const found = result.response.status;
  assert(found === status, `${result.response.url}: ${found} ${JSON.stringify(result.error)}`);
  return result.data as T;
}

/** Asks again until `read` gives something. */
async function until<T>(what: string, read: () => Promise<T | false | undefined>): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    const found = await read();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come`);
}

// Two webhooks: the built-in receiver, and a port where nobody listens.
const hook = expect(201, await api.POST("/v1/webhooks", {
  body: {
    url: "http://echo.postrider.invalid/",
    events: ["license.*"],
    headers: { "X-Team": "billing", "X-Token": { value: "hidden", secret: true } },
  },
})).data;
assert(hook.type === "webhook_endpoint" && hook.attributes.signing_secret, "a new webhook shows its secret");
const closed = expect(201, await api.POST("/v1/webhooks", {
  body: { url: "http://127.0.0.1:9/", events: ["user.*"], name: "closed", retry_schedule: [], timeout: null },
})).data;
const id = hook.id;

// Post and batch.
const event = { event_type: "license.assigned", payload: { license: "L-1" } };
const header = { "Idempotency-Key": "typescript-1" };
const posted = expect(202, await api.POST("/v1/events", { params: { header }, body: event })).data;
const same = expect(202, await api.POST("/v1/events", { params: { header }, body: event })).data;
assert(posted.type === "event" && same.id === posted.id, "an idempotency key gives the first event again");
const batch = expect(202, await api.POST("/v1/events/batch", {
  body: { events: [{ event_type: "license.released", payload: null }, { event_type: "user.created", payload: [1] }] },
})).data;
assert(batch.length === 2 && batch[1].attributes.event_type === "user.created", "a batch gives its events");

// List.
const list = async (endpoint: string, status: "delivered" | "exhausted", count: number) => {
  const query = { status: [status], per_page: 50 };
  const params = { path: { id: endpoint }, query };
  const rows: Delivery[] = expect(200, await api.GET("/v1/webhooks/{id}/deliveries", { params })).data;
  return rows.length >= count && rows;
};
const delivered = await until("deliveries", () => list(id, "delivered", 2));
const [failed] = await until("a failure", () => list(closed.id, "exhausted", 1));
assert(failed.attributes.error_kind === "connect", "the kind of a failure");
const events = expect(200, await api.GET("/v1/events", { params: { query: { event_type: "license.*" } } }));
assert((events.meta.total ?? 0) >= 2 && events.data.some((one) => one.id === posted.id), "events are listed");

// Read.
const row = expect(200, await api.GET("/v1/webhooks/deliveries/{id}", {
  params: { path: { id: delivered[delivered.length - 1].id } },
})).data.attributes;
assert(row.event_id === posted.id && row.error_kind === null && row.response?.status === 200, "a delivery");
const read = expect(200, await api.GET("/v1/events/{id}", { params: { path: { id: posted.id } } })).data;
assert(read.attributes.attempts?.[0].status === "delivered", "an event with its attempts");
const health = expect(200, await api.GET("/v1/webhooks/{id}/health", { params: { path: { id: closed.id } } })).data;
assert(health.attributes.errors[0].error_kind === "connect", "the health names the failure");

// Verify.
const seen = row.request;
assert(seen?.body, "the request as it was sent");
const verify = async (body: string) => expect(200, await api.POST("/v1/webhooks/{id}/verify", {
  params: { path: { id } }, body: { headers: seen.headers, body },
})).data.attributes;
const [good, bad] = [await verify(seen.body), await verify(seen.body + " ")];
assert(good.valid && good.reason === null, good.detail);
assert(!bad.valid && bad.reason !== null, bad.detail);
const how = expect(200, await api.GET("/v1/webhooks/{id}/verification", { params: { path: { id } } })).data;
assert(how.attributes.encryption === null && how.attributes.snippets.length > 0, "how to verify");

// Retry one and many; what is refused says where.
const again = expect(202, await api.POST("/v1/webhooks/deliveries/{id}/retry", {
  params: { path: { id: failed.id } },
})).data;
assert(again.attributes.trigger === "manual", "a retry is manual");
await until("the second failure", () => list(closed.id, "exhausted", 1));
const job = expect(202, await api.POST("/v1/webhooks/deliveries/retry", {
  body: { filter: { status: ["exhausted"], error_kind: "connect", response_status: null, q: null } },
})).data;
assert(job.attributes.kind === "retry" && job.id !== null, "a bulk retry is a job");
const refused = await api.PATCH("/v1/webhooks/{id}", { params: { path: { id } }, body: { url: "nowhere" } });
assert(refused.response.status === 422, "a URL that is none");
assert(refused.error?.errors[0].source?.pointer === "/url", "the field is named");

for (const one of [id, closed.id]) {
  expect(204, await api.DELETE("/v1/webhooks/{id}", { params: { path: { id: one } } }));
}
console.log("the TypeScript client works");
