// Whether pending attempts are sent when they are due: not while their webhook is paused or on hold.
import { html } from "../../ui.js";
import { getAll } from "../../api.js";
import { useEvery, useLoad } from "../../components/load.js";
import { Due } from "../../components/time.js";

/**
 * A function from a webhook’s id to why its deliveries wait: `paused`, `on_hold` or undefined. Asks the server only
 * while something is `due`.
 */
export function usePaused(due) {
  const load = useLoad(
    async (signal) => {
      const found = await getAll("v1/webhooks", { health: ["paused", "on_hold"] }, { signal });
      const states = new Map(found.map((w) => [w.id, w.attributes.health.state]));
      return (id) => states.get(id);
    },
    [],
    due,
  );
  useEvery(15_000, load.reload, due);
  return load.data ?? never;
}
const never = () => undefined;

const WAITING = {
  paused: ["paused", "The webhook is paused. Deliveries are queued until it is resumed."],
  on_hold: ["on hold", "The webhook is on hold. Its deliveries follow when a probe succeeds."],
};

/** "due in 3m", or why it is not. `paused` is what `usePaused` says of the webhook. */
export function DueUnless({ at, paused, word = "due" }) {
  const [words, why] = WAITING[paused] ?? [];
  return words ? html`<span title=${why}>${words}</span>` : html`<span>${word} <${Due} at=${at} /></span>`;
}
