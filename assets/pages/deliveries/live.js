// The delivery log while it grows: counts new rows without moving what is being read, and updates shown rows in place.
import { useEffect, useRef, useState } from "../../ui.js";
import { follow } from "../../api.js";
import { appId } from "../../state.js";

/** New rows are counted up to here; beyond, "1,000+" is enough. */
export const MANY = 1000;

/**
 * `{news, changed, state, taken}`: ids that are not on the page, newer versions of rows that are, whether the stream is
 * "starting", "live" or "waiting", and what to call when the list was reloaded. The stream pauses while the page is
 * hidden and then continues after the last row it received. It starts when the list is there (`ready`).
 */
export function useLive(filter, rows, ready) {
  const [news, setNews] = useState(() => new Set());
  const [changed, setChanged] = useState(() => new Map());
  const [state, setState] = useState("starting");
  const shown = useRef(new Set());
  shown.current = new Set(rows?.map((r) => r.id));
  const key = JSON.stringify(filter);
  useEffect(() => {
    if (!ready) return undefined;
    let running = null;
    let lastId = null;
    let timer = 0;
    let arrived = [];
    setNews(new Set());
    setChanged(new Map());
    // A busy server finishes thousands of attempts a second; the page renders at most twice a second.
    const flush = () => {
      timer = 0;
      const rows = arrived;
      arrived = [];
      const known = rows.filter((row) => shown.current.has(row.id));
      if (known.length) setChanged((m) => new Map([...m, ...known.map((row) => [row.id, row])]));
      if (known.length < rows.length)
        setNews((s) =>
          s.size >= MANY
            ? s
            : new Set([...s, ...rows.filter((row) => !shown.current.has(row.id)).map((row) => row.id)]),
        );
    };
    const take = ({ event, id, data }) => {
      if (id) lastId = id;
      if (event !== "attempt") return;
      arrived.push(JSON.parse(data));
      timer ||= setTimeout(flush, 500);
    };
    const start = () => {
      if (running || document.hidden) return;
      running = new AbortController();
      follow("v1/webhooks/deliveries/stream", filter, { on: take, state: setState, signal: running.signal, lastId });
    };
    const stop = () => {
      running?.abort();
      running = null;
      setState("waiting");
    };
    const visible = () => (document.hidden ? stop() : start());
    start();
    document.addEventListener("visibilitychange", visible);
    return () => {
      stop();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", visible);
    };
  }, [key, appId.value, ready]);
  const patch = (row) => setChanged((m) => new Map(m).set(row.id, row));
  return {
    news,
    changed,
    state,
    patch,
    taken: () => {
      setNews(new Set());
      setChanged(new Map());
    },
  };
}
