// Actions on a webhook, with the same questions and messages on every page.
import { html } from "../../ui.js";
import { del, patch } from "../../api.js";
import { confirm } from "../../components/dialog.js";
import { fail, toast } from "../../components/toast.js";

const path = (id) => `v1/webhooks/${encodeURIComponent(id)}`;
const DONE = {
  active: "enabled",
  paused: "paused. Deliveries are queued until it is resumed",
  disabled: "disabled. New events are not delivered",
};

/** Gives the changed webhook; null when nothing was changed. */
export async function changeStatus(webhook, status) {
  const name = webhook.attributes.name || webhook.attributes.url;
  let changed = null;
  const act = async () => {
    changed = (await patch(path(webhook.id), { status })).data;
  };
  if (status === "disabled") {
    await confirm({
      title: "Disable this webhook?",
      danger: true,
      action: "Disable",
      act,
      text: html`<p><strong>${name}</strong> gets no new deliveries, and pending ones are cancelled.</p><p class="muted">Pausing keeps them instead. After enabling it again, “Resend missed events” sends what was missed.</p>`,
    });
  } else {
    try {
      await act();
    } catch (error) {
      fail(error);
    }
  }
  if (changed) toast(`${name} ${DONE[status]}.`);
  return changed;
}

/** Asks, then deletes. Gives true when it was deleted. */
export function remove(webhook) {
  const name = webhook.attributes.name || webhook.attributes.url;
  return confirm({
    title: "Delete this webhook?",
    danger: true,
    action: "Delete",
    act: () => del(path(webhook.id)),
    text: html`<p>Deletes <strong>${name}</strong> and its signing secret, and cancels its pending deliveries. This cannot be undone.</p><p class="muted">Its rows in the delivery log are kept until retention removes them.</p>`,
  });
}
