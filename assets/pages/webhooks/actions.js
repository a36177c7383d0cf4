// What can be done with a webhook, said and asked in the same way wherever it is done.
import { html } from "../../ui.js";
import { del, patch } from "../../api.js";
import { confirm } from "../../components/dialog.js";
import { fail, toast } from "../../components/toast.js";

const path = (id) => `v1/webhooks/${encodeURIComponent(id)}`;
const DONE = {
  active: "goes on",
  paused: "is paused: deliveries are queued and wait",
  disabled: "is disabled: new events make no delivery",
};

/** Gives the webhook as it is then; null when nothing was changed. */
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
      text: html`<p><strong>${name}</strong> gets no new deliveries, and those that wait are cancelled.</p><p class="muted">Pausing instead keeps them. After enabling it again, “Recover” brings back what was missed.</p>`,
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

/** Asks, then deletes. Gives true when it is gone. */
export function remove(webhook) {
  const name = webhook.attributes.name || webhook.attributes.url;
  return confirm({
    title: "Delete this webhook?",
    danger: true,
    action: "Delete",
    act: () => del(path(webhook.id)),
    text: html`<p><strong>${name}</strong> and its signing secret are removed for good, and what waits for it is cancelled.</p><p class="muted">Its rows in the delivery log stay until retention takes them.</p>`,
  });
}
