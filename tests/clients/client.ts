// What a user of a generated TypeScript client does: create a webhook, post, post a batch, list, read, retry, verify.
import createClient from "openapi-fetch";
import type { paths } from "./v1.js";

declare const process: { env: Record<string, string> };

const client = createClient<paths>({
  baseUrl: process.env.URL,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

// The data of a response that must have come.
async function data<T>(call: Promise<{ data?: T; error?: unknown }>): Promise<T> {
  const { data, error } = await call;
  check(data !== undefined, JSON.stringify(error));
  return data;
}

const created = await data(
  client.POST("/v1/webhooks", {
    body: { url: "http://echo.postrider.invalid/", events: ["license.*"], name: "TypeScript" },
  }),
);
const id: string = created.data.id;
check(created.data.attributes.signing_secret?.startsWith("whsec_") === true, "no signing secret");
const webhooks = await data(client.GET("/v1/webhooks"));
check(webhooks.data.some((webhook) => webhook.id === id), "the webhook is not listed");

const event = { event_type: "license.assigned", payload: { seats: 5 } };
const keyed = { params: { header: { "Idempotency-Key": "typescript-1" } }, body: event };
const posted = await data(client.POST("/v1/events", keyed));
check((await data(client.POST("/v1/events", keyed))).data.id === posted.data.id, "posted twice");
const batch = await data(
  client.POST("/v1/events/batch", {
    body: { events: [{ event_type: "license.renewed", payload: 1 }, { event_type: "license.expired", payload: null }] },
  }),
);
check(batch.data.length === 2, "a batch has a result for each event");

const until = Date.now() + 30_000;
let rows = [];
for (;;) {
  rows = (await data(client.GET("/v1/webhooks/{id}/deliveries", { params: { path: { id } } }))).data;
  if (rows.length === 3 && rows.every((row) => row.attributes.status === "delivered")) break;
  check(Date.now() < until, JSON.stringify(rows));
  await new Promise((resolve) => setTimeout(resolve, 50));
}
const row = rows.find((row) => row.attributes.event_id === posted.data.id);
check(row !== undefined, "the delivery is not listed");
const of = { params: { path: { id: row.id } } };
const detail = await data(client.GET("/v1/webhooks/deliveries/{id}", of));
const request = detail.data.attributes.request;
check(request?.body != null && detail.data.attributes.response?.status === 200, "the detail is not whole");
const read = await data(client.GET("/v1/events/{id}", { params: { path: { id: posted.data.id } } }));
check(JSON.stringify(read.data.attributes.payload) === '{"seats":5}', "another payload");
await data(client.GET("/v1/event-types"));

const again = await data(client.POST("/v1/webhooks/deliveries/{id}/retry", of));
check(again.data.attributes.trigger === "manual", "the retry has another trigger");
const job = await data(
  client.POST("/v1/webhooks/deliveries/retry", {
    body: { filter: { event_type: "license.*", response_status: "5xx", status: ["exhausted"] }, dry_run: true },
  }),
);
check(job.data.id === null && job.data.attributes.matched === 0, "a dry run is not kept");

const verified = await data(
  client.POST("/v1/webhooks/{id}/verify", {
    params: { path: { id } },
    body: { headers: request.headers, body: request.body },
  }),
);
check(verified.data.attributes.valid, "the signature does not verify");
await client.DELETE("/v1/webhooks/{id}", { params: { path: { id } } });
console.log("the generated TypeScript client works");
