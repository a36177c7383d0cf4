// The delivery log while it grows: counts new rows without moving what is being read, and updates shown rows in place.
import { useEffect, useRef, useState } from "../../ui.js";
import { isSlow } from "../../ahead.js";
import { follow } from "../../api.js";
import { appId } from "../../state.js";

/** New rows are counted up to here; beyond, "1,000+" is enough. */
export const MANY = 1000;

/** What identifies a row: a delivery stays one row while its attempts come and go. */
export const keyIn = (view) => (view === "deliveries" ? (row) => row.attributes.delivery_id : (row) => row.id);

/**
 * `{news, changed, state, taken}`: keys of rows that are not on the page, newer versions of rows that are, whether the
 * stream is "starting", "live", "waiting" or "off", and what to call when the list was reloaded. The stream pauses while
 * the page is hidden and then continues after the last row it received. It starts when the list is there (`ready`); it
 * does not search texts.
 */
export function useLive(filter, rows, ready, view) {
  const [news, setNews] = useState(() => new Set());
  const [changed, setChanged] = useState(() => new Map());
  const [state, setState] = useState("starting");
  const shown = useRef(new Set());
  const keyOf = keyIn(view);
  shown.current = new Set(rows?.map(keyOf));
  const key = JSON.stringify(filter);
  useEffect(() => {
    if (!ready) return undefined;
    if (isSlow(filter)) return setState("off");
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
      const known = rows.filter((row) => shown.current.has(keyOf(row)));
      if (known.length) setChanged((m) => new Map([...m, ...known.map((row) => [keyOf(row), inView(row, view)])]));
      if (known.length < rows.length)
        setNews((s) =>
          s.size >= MANY
            ? s
            : new Set([...s, ...rows.map(keyOf).filter((k) => !shown.current.has(k))]),
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
  }, [key, appId.value, ready, view]);
  // What the stream has told meanwhile is newer.
  const patch = (row) =>
    setChanged((m) => {
      const known = m.get(keyOf(row));
      const isOver = known?.id === row.id && row.attributes.status === "pending" && known.attributes.status !== "pending";
      return known?.id > row.id || isOver ? m : new Map(m).set(keyOf(row), row);
    });
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

/** The row of a delivery after this attempt of it has finished: if it failed, its retry is pending. */
function inView(row, view) {
  const a = row.attributes;
  if (view !== "deliveries" || a.status !== "failed") return row;
  return {
    ...row,
    attributes: {
      ...a,
      status: "pending",
      attempt: a.attempt + 1,
      due_at: a.next_retry_at,
      next_retry_at: null,
      attempted_at: null,
      last_response_status: a.response_status,
      last_error_kind: a.error_kind,
      last_error_message: a.error_message,
      last_attempted_at: a.attempted_at,
      response_status: null,
      response_time_ms: null,
      error_kind: null,
      error_message: null,
    },
  };
}
