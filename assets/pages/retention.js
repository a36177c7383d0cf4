// Stands in until the page is made.
import { html } from "../ui.js";
import { Page } from "../components/page.js";
import { EmptyState } from "../components/states.js";

export default function Pending() {
  return html`<${Page} title="Retention"><${EmptyState} icon="clock" title="Not here yet" /><//>`;
}
