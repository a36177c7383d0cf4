// Events to try a webhook with: the newest ones that its patterns match, or samples of the gallery.
import { useMemo } from "../../ui.js";
import { get, request } from "../../api.js";
import { useLoad } from "../../components/load.js";
import { payloadOf } from "../events/raw.js";
import { covers } from "./patterns.js";

/** So many events are looked at, and so many of them are offered. */
const LOOKED_AT = 50;
export const OFFERED = 5;
const DEFAULT_SAMPLE = "github/release";

/** `{recent, samples, best}`: `best` is what the preview begins with, as a value of its select. */
export function useSubjects(patterns) {
  const events = useLoad(async (signal) => (await get("v1/events", { per_page: LOOKED_AT }, { signal })).data);
  const recipes = useLoad(async (signal) => (await get("v1/gallery/sources", {}, { signal })).data);
  const wanted = patterns.join();
  return useMemo(() => {
    const recent = (events.data ?? []).filter((e) => patterns.some((p) => covers(p, e.attributes.event_type))).slice(0, OFFERED);
    const samples = (recipes.data ?? []).flatMap((r) => r.attributes.samples.map((name) => ({ name: `${r.id}/${name}`, title: `${r.attributes.title}: ${name.replaceAll("_", " ")}` })));
    // The sample of the source that a pattern names: `sonarr.*`.
    const own = samples.find((s) => patterns.some((p) => p.split(".")[0] === s.name.split("/")[0]));
    const first = own ?? samples.find((s) => s.name === DEFAULT_SAMPLE) ?? samples[0];
    return {
      recent,
      samples,
      best: recent.length ? `event:${recent[0].id}` : first ? `sample:${first.name}` : "",
      ready: Boolean((events.data || events.error) && (recipes.data || recipes.error)),
    };
  }, [events.data, events.error, recipes.data, recipes.error, wanted]);
}

/** The choice of the select as the API takes it. */
export const subjectOf = (choice) => (choice.startsWith("event:") ? { event_id: choice.slice(6) } : { sample: choice.slice(7) });

/** Paths of the payload of an event, for the filter: `payload.alerts[0].labels`. */
export function usePaths(event) {
  const load = useLoad(
    async (signal) => {
      const text = await (await request("GET", `v1/events/${encodeURIComponent(event.id)}`, { signal, raw: true })).text();
      return pathsOf(JSON.parse(payloadOf(text) ?? "null"));
    },
    [event?.id],
    Boolean(event),
  );
  return [...(load.data ?? []), ...KNOWN];
}

const KNOWN = ["event.type", "event.source", "event.resource_id", "summary.level", "summary.title"];
const MOST = 200;
const DEEPEST = 5;

function pathsOf(payload) {
  const found = [];
  const walk = (value, path, depth) => {
    if (found.length >= MOST) return;
    if (value === null || typeof value !== "object") return void found.push(path);
    if (depth >= DEEPEST) return;
    if (Array.isArray(value)) return void (value.length && walk(value[0], `${path}[0]`, depth + 1));
    for (const [name, inner] of Object.entries(value))
      walk(inner, /^[A-Za-z_]\w*$/.test(name) ? `${path}.${name}` : `${path}['${name.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}']`, depth + 1);
  };
  walk(payload, "payload", 0);
  return found;
}
