// Loading: what a page asks the server for, kept on the page while newer data is on its way, so nothing jumps.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "../ui.js";
import { appId } from "../state.js";

/**
 * `useLoad((signal) => get("v1/…", query, { signal }), [what it depends on])`
 * gives `{data, error, loading, reload}`. Older answers never overwrite newer ones; another app starts anew. What is
 * not needed at once waits until `when` holds. `ahead()` gives what is there already, or undefined.
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
  }, [reload, when]);
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
