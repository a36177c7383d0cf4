// Actions on a source, with the same questions and messages on every page.
import { html } from "../../ui.js";
import { del, patch, post } from "../../api.js";
import { href } from "../../router.js";
import { confirm } from "../../components/dialog.js";
import { fail, toast } from "../../components/toast.js";

export const pathOf = (id) => `v1/sources/${encodeURIComponent(id)}`;

/** Enables or disables. Gives whether it was done. */
export async function setEnabled(source, enabled) {
  const { name } = source.attributes;
  const act = () => patch(pathOf(source.id), { enabled });
  if (!enabled) {
    const done = await confirm({
      title: "Disable this source?",
      danger: true,
      action: "Disable",
      act,
      text: html`<p>The URL of <strong>${name}</strong> is answered with 404, like an unknown one, until it is enabled again.</p><p class="muted">What the sender sends meanwhile is lost, unless it tries again later.</p>`,
    });
    if (done) toast(`${name} disabled.`);
    return done;
  }
  try {
    await act();
    toast(`${name} enabled.`);
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

/** Asks, then deletes. Gives true when it was deleted. */
export const remove = (source) =>
  confirm({
    title: "Delete this source?",
    danger: true,
    action: "Delete",
    act: () => del(pathOf(source.id)),
    text: html`<p>The URL of <strong>${source.attributes.name}</strong> stops working now. This cannot be undone.</p><p class="muted">Its events and their deliveries are kept.</p>`,
  });

/** Takes a request in again with the settings of now. Gives the event, or null. */
export async function replay(id, n) {
  try {
    const { data } = await post(`${pathOf(id)}/requests/${n}/replay`);
    toast(`The request became ${data.attributes.event_type}.`, { action: { label: "View event", href: href(`events/${data.id}`) } });
    return data;
  } catch (error) {
    fail(error);
    return null;
  }
}
