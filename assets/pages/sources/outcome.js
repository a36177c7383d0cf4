// What became of a request to a source, as a badge.
import { html } from "../../ui.js";
import { Badge } from "../../components/badge.js";
import { OUTCOMES } from "./words.js";

export function StatusOf({ outcome }) {
  const { word, tone, icon, hint } = OUTCOMES[outcome] ?? { word: outcome, tone: "off", icon: "minus" };
  return html`<${Badge} tone=${tone} icon=${icon} hint=${hint}>${word}<//>`;
}
