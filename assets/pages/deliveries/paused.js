// Whether pending attempts are sent when they are due: not while their webhook is paused.
import { html } from "../../ui.js";
import { getAll } from "../../api.js";
import { useEvery, useLoad } from "../../components/load.js";
import { Due } from "../../components/time.js";

/** A function from a webhook’s id to whether it is paused; asks the server only while something is `due`. */
export function usePaused(due) {
  const load = useLoad(
    async (signal) => {
      const ids = new Set((await getAll("v1/webhooks", { status: "paused" }, { signal })).map((w) => w.id));
      return (id) => ids.has(id);
    },
    [],
    due,
  );
  useEvery(15_000, load.reload, due);
  return load.data ?? never;
}
const never = () => false;

/** "due in 3m", or that it is not. */
export const DueUnless = ({ at, paused, word = "due" }) =>
  paused
    ? html`<span title="The webhook is paused. Deliveries are queued until it is resumed.">paused</span>`
    : html`<span>${word} <${Due} at=${at} /></span>`;
