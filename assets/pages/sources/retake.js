// Takes a request of the inbound log in again.
import { html, useState } from "../../ui.js";
import { Icon } from "../../components/icon.js";
import { replay } from "./actions.js";

/** `onDone` gets the event. */
export function Retake({ id, row, onDone, primary }) {
  const [busy, setBusy] = useState(false);
  const refused = ["rejected", "invalid"].includes(row.attributes.outcome);
  const run = async () => {
    setBusy(true);
    const event = await replay(id, row.id);
    setBusy(false);
    if (event) onDone(event);
  };
  return html`<button type="button" class="button ${primary ? "primary" : ""}" disabled=${busy} aria-busy=${busy} title="Verifiers and dedupe are not asked: you vouch for the request." onClick=${run}><${Icon} name="redo" size=${14} />${refused ? "Try again with the present settings" : "Replay"}</button>`;
}
