// What a monitoring page makes of one webhook of /api/v0: a dashboard, and an analysis of performance.
// Reads the webhook from the file that is named first, writes both as JSON, and ends with 1 if anything in
// them is undefined or not a number.
import { readFileSync } from "node:fs";

function dashboard(webhook) {
  const { delivery_stats: stats, recent_events: events } = webhook;
  return {
    webhook: {
      name: webhook.name,
      url: webhook.url,
      status: webhook.isActive === true ? "Active" : webhook.isActive === false ? "Inactive" : undefined,
      encrypted: webhook.encrypted,
    },
    performance: {
      successRate: stats.success_rate,
      averageResponseTime: stats.average_response_time,
      eventsToday: stats.last_24h_events,
      failuresToday: stats.last_24h_failures,
    },
    activity: events.map((event) => ({
      type: event.event_type,
      status: event.delivery_status,
      at: event.created_at,
      responseTime: event.response_time,
    })),
  };
}

function analysis(webhook) {
  const { delivery_stats: stats, recent_events: events } = webhook;
  return {
    overall: {
      events: stats.total_events,
      delivered: stats.successful_deliveries,
      failed: stats.failed_deliveries,
      successRate: stats.success_rate,
      averageResponseTime: stats.average_response_time,
    },
    trends: {
      failureRateToday: stats.last_24h_events === 0 ? 0 : (stats.last_24h_failures / stats.last_24h_events) * 100,
      responseTimes: distribution(events.map((event) => event.response_time)),
      commonErrors: common(events),
    },
    health: [webhook.health.success_rate, webhook.health.response_time, webhook.health.activity],
    recommendations: recommendations(webhook),
  };
}

function distribution(all) {
  if (all.includes(undefined)) return undefined;
  const times = all.filter((time) => time !== null).sort((a, b) => a - b);
  if (times.length === 0) return null;
  const sum = times.reduce((a, b) => a + b, 0);
  return { min: times[0], median: times[times.length >> 1], average: sum / times.length, max: times.at(-1) };
}

function common(events) {
  const counts = {};
  for (const event of events.filter((event) => event.delivery_status !== "delivered")) {
    const cause = event.error_message ?? (event.response_code === null ? "waiting" : `HTTP ${event.response_code}`);
    counts[cause] = (counts[cause] ?? 0) + 1;
  }
  return Object.entries(counts).sort((a, b) => b[1] - a[1]);
}

function recommendations(webhook) {
  const said = [];
  for (const event of webhook.recent_events) {
    const code = event.response_code;
    if (event.delivery_status !== "failed") continue;
    said.push(code === null ? "verify the URL" : code >= 500 ? "check the server" : "check the implementation");
  }
  if (webhook.delivery_stats.average_response_time > 5000) said.push("answer sooner");
  return [...new Set(said)];
}

function missing(value, at) {
  if (value === undefined || Number.isNaN(value)) return [`${at} is ${value}`];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, inner]) => missing(inner, `${at}.${name}`));
}

const webhook = JSON.parse(readFileSync(process.argv[2]));
const made = { dashboard: dashboard(webhook), analysis: analysis(webhook) };
const wrong = missing(made, "made");
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(JSON.stringify(made));
