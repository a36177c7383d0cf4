// The list of keyboard shortcuts, loaded on demand.
import { html } from "../ui.js";
import { Dialog } from "./dialog.js";

const KEYS = [
  ["/", "Search"],
  ["j", "Next row"],
  ["k", "Previous row"],
  ["Enter", "Open the row"],
  ["x", "Select the row"],
  ["r", "Retry the delivery, or send it now"],
  ["n", "Show new rows"],
  ["c", "Create a webhook, send an event"],
  ["Esc", "Close"],
  ["?", "Show this list"],
];
export default function Help({ onClose }) {
  return html`<${Dialog} title="Keyboard shortcuts" onClose=${onClose}
    ><dl class="keys">
      ${KEYS.map(
        ([key, what]) =>
          html`<div>
            <dt><kbd>${key}</kbd></dt>
            <dd>${what}</dd>
          </div>`,
      )}
    </dl><//
  >`;
}
