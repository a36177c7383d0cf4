// Loading: what a page asks the server for. Older data stays on the page while newer data is loading, so nothing jumps.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "../ui.js";
import { appId, returns } from "../state.js";

/**
 * `useLoad((signal) => get("v1/…", query, { signal }), [what it depends on])`
 * gives `{data, error, loading, reload}`. Older responses never overwrite newer ones; another app starts from scratch.
 * Everything is loaded again when the server was away and is back. What is not needed at once is loaded once `when`
 * holds. `ahead()` gives what has been loaded already, or undefined.
 */
export function useLoad(load, dependencies = [], when = true, ahead = undefined) {
  const app = appId.value;
  const given = useRef(false);
  const [state, set] = useState(() => {
    const data = ahead?.();
    given.current = data !== undefined;
    return { data, error: null, loading: !given.current, app };
  });
  const running = useRef(null);
  const reload = useCallback(() => {
    running.current?.abort();
    const own = (running.current = new AbortController());
    set((s) => ({ ...(s.app === app ? s : { data: undefined, error: null, app }), loading: true }));
    return load(own.signal).then(
      (data) => {
        if (!own.signal.aborted) set({ data, error: null, loading: false, app });
      },
      (error) => {
        if (!own.signal.aborted) set((s) => ({ ...s, error, loading: false }));
      },
    );
  }, [app, ...dependencies]);
  // Before the paint: the request goes out a frame earlier.
  useLayoutEffect(() => {
    if (given.current) given.current = false;
    else if (when) reload();
    return () => running.current?.abort();
  }, [reload, when, returns.value]);
  return { ...state, reload };
}

/** Runs `tick` every `ms` while the page is visible. */
export function useEvery(ms, tick, active = true) {
  const latest = useRef(tick);
  latest.current = tick;
  useEffect(() => {
    if (!active) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) latest.current();
    }, ms);
    return () => clearInterval(timer);
  }, [ms, active]);
}
