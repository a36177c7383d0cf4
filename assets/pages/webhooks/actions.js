// Actions on a webhook, with the same questions and messages on every page.
import { html } from "../../ui.js";
import { del, patch, post } from "../../api.js";
import { plural, short } from "../../format.js";
import { timeMode } from "../../state.js";
import { confirm } from "../../components/dialog.js";
import { fail, toast } from "../../components/toast.js";

const path = (id) => `v1/webhooks/${encodeURIComponent(id)}`;
const DONE = {
  active: "enabled",
  paused: "paused. Deliveries are queued until it is resumed",
  disabled: "disabled. New events are not delivered",
};

/**
 * Gives the changed webhook; null when nothing was changed. `onChanged` is called as soon as it was, and again when
 * missed events were sent.
 */
export async function changeStatus(webhook, status, onChanged) {
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
  if (!changed) return null;
  toast(`${name} ${DONE[status]}.`);
  onChanged();
  const { missed } = changed.attributes;
  if (missed?.count && (await offerMissed(changed, missed))) onChanged();
  return changed;
}

/** After a webhook was enabled: asks whether the events that it missed are sent, and gives whether they were. */
async function offerMissed(webhook, { since, count }) {
  const mode = timeMode.value === "utc" ? "utc" : "local";
  let job;
  const sent = await confirm({
    title: `${plural(count, "event")} ${count === 1 ? "was" : "were"} missed`,
    text: `${plural(count, "event")} ${count === 1 ? "was" : "were"} missed since ${short(since, mode)}${mode === "utc" ? " UTC" : ""}, while ${webhook.attributes.name || webhook.attributes.url} was disabled. You can also send them later: choose “Resend missed events” on the page of the webhook.`,
    action: count === 1 ? "Send it" : "Send them",
    cancel: "Not now",
    act: async () => {
      job = (await post(`${path(webhook.id)}/recover`, { since })).data;
    },
  });
  if (!sent) return false;
  const { showJob } = await import("../../components/job.js");
  await showJob(job.id, `Resending ${plural(job.attributes.matched, "event")}`);
  return true;
}

/** Sends what is pending for a webhook; on hold, the first delivery as a probe. Gives true when it was accepted. */
export async function sendNow({ id, name, held }) {
  try {
    const { queued } = (await post(`${path(id)}/send-now`)).data.attributes;
    const pending = plural(queued, "pending delivery", "pending deliveries");
    if (!queued) toast(`No delivery is pending for ${name}.`);
    else if (held) toast(`A probe is sent to ${name} now. After a success, ${pending} follow${queued === 1 ? "s" : ""}.`);
    else toast(`${pending} to ${name}: being sent now.`);
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
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
