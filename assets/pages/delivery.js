// The permalink of an attempt.
import { html } from "../ui.js";
import { href } from "../router.js";
import { Icon } from "../components/icon.js";
import { Page } from "../components/page.js";
import { CopyButton } from "../components/text.js";
import { useKeys } from "../components/keyboard.js";
import { DeliveryDetail, useDelivery } from "./deliveries/detail.js";
import { retryOne } from "./deliveries/retry.js";
import { may } from "../state.js";

export default function Delivery({ params }) {
  const load = useDelivery(params.id);
  useKeys({
    r: async () => {
      const row = load.data;
      const newest = row?.attributes.attempts.at(-1);
      if (!row || !may("admin")) return;
      if (await retryOne({ id: newest.status === "pending" ? newest.id : row.id, attributes: { ...row.attributes, status: newest.status } })) load.reload();
    },
  });
  return html`<${Page}
    title="Delivery ${params.id}"
    back=${html`<a class="back" href=${href("webhook-deliveries")}><${Icon} name="left" size=${14} />Webhook deliveries</a>`}
    actions=${html`<${CopyButton} text=${() => location.href} label="Link" what="Copy link" />`}
  >
    <div class="card">
      <div class="card-body"><${DeliveryDetail} load=${load} wide /></div></div
  ><//>`;
}
