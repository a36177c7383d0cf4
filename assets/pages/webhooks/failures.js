// When each webhook of a list last failed. One page of the log covers those that fail now; the others are requested
// one by one, once, because anything older than that page does not change.
import { useRef } from "../../ui.js";
import { get } from "../../api.js";
import { useLoad } from "../../components/load.js";

const FAILED = { status: ["failed", "exhausted"] };
const PAGE = 200;

/** Gives `{data: Map from webhook to its newest failed attempt, or null}` once `webhooks` are there. */
export function useLastFailures(webhooks) {
  const older = useRef(new Map());
  const ids = webhooks?.map((w) => w.id) ?? [];
  return useLoad(
    async (signal) => {
      const rows = (await get("v1/webhooks/deliveries", { ...FAILED, per_page: PAGE }, { signal })).data;
      const last = new Map();
      for (const row of rows) {
        if (!last.has(row.attributes.endpoint_id)) last.set(row.attributes.endpoint_id, row);
      }
      const silent = ids.filter((id) => !last.has(id));
      if (rows.length === PAGE) {
        await Promise.all(
          silent
            .filter((id) => !older.current.has(id))
            .map(async (id) => {
              const path = `v1/webhooks/${encodeURIComponent(id)}/deliveries`;
              // One that was deleted meanwhile does not stop the others.
              const found = await get(path, { ...FAILED, per_page: 1 }, { signal }).catch(() => null);
              if (found) older.current.set(id, found.data[0] ?? null);
            }),
        );
      }
      for (const id of silent) last.set(id, older.current.get(id) ?? null);
      for (const [id, row] of last) if (row) older.current.set(id, row);
      return last;
    },
    [ids.join()],
    ids.length > 0,
  );
}
