// Retries one delivery, the selected ones, or all that match. What a retry does depends on the delivery’s state, so
// the person is told first.
import { html } from "../../ui.js";
import { get, post } from "../../api.js";
import { number, plural } from "../../format.js";
import { href } from "../../router.js";
import { confirm } from "../../components/dialog.js";
import { showJob } from "../../components/job.js";
import { fail, toast } from "../../components/toast.js";

const retry = (id) => post(`v1/webhooks/deliveries/${id}/retry`);
const deliveries = (n) => plural(n, "delivery", "deliveries");

/** What a bulk retry does, in the words of its question. */
const OF_FAILED = {
  title: (n) => `Retry ${deliveries(n)}?`,
  action: (n) => `Retry ${number(n)}`,
  text: (words) =>
    html`<p>
        Retries every delivery ${words ? html`<strong>${words}</strong> ` : ""}that has no retries left. If a retry
        fails, the webhook’s full retry schedule starts again.
      </p>
      <p class="muted">
        Delivered and pending deliveries and disabled webhooks are skipped. New events take priority. You can cancel at
        any time.
      </p>`,
  nothing: "Nothing to retry: bulk retry covers deliveries with no retries left, to webhooks that are not disabled.",
};
const OF_PENDING = {
  title: (n) => `Send ${plural(n, "pending delivery", "pending deliveries")} now?`,
  action: (n) => `Send ${number(n)} now`,
  text: (words) =>
    html`<p>
      Sends every pending delivery ${words ? html`<strong>${words}</strong> ` : ""}now, ahead of its schedule. A webhook
      that is on hold gets a probe first.
    </p>`,
  nothing: "Nothing to send: no pending delivery matches.",
};

/** A row with a later attempt does not know the state of its delivery: the newest attempt does. */
async function withNewest(row) {
  if (row.attributes.status !== "failed") return row;
  const { data } = await get(`v1/webhooks/deliveries/${row.id}`);
  return { ...row, attributes: { ...row.attributes, status: data.attributes.attempts.at(-1).status } };
}

/** Runs `work` on each item, four at a time. */
async function each(all, work) {
  const next = all.values();
  const one = async () => {
    for (const item of next) await work(item);
  };
  await Promise.all([one(), one(), one(), one()]);
}

/** Retries one delivery. A delivered one is sent again only after confirmation. Gives the new attempt, or null. */
export async function retryOne(given) {
  let row;
  try {
    row = await withNewest(given);
  } catch (error) {
    fail(error);
    return null;
  }
  const { status, event_type: type, endpoint_name: name } = row.attributes;
  if (status === "pending") return sendOneNow(row);
  let created = null;
  const act = async () => {
    created = (await retry(row.id)).data;
  };
  if (status === "delivered" || status === "cancelled") {
    const why =
      status === "delivered"
        ? "It was already delivered. The receiver gets the same event again, with the same id."
        : "It was cancelled. It will be sent as a new delivery.";
    if (!(await confirm({ title: "Send again?", text: why, action: "Send again", act }))) return null;
  } else {
    try {
      await act();
    } catch (error) {
      fail(error);
      return null;
    }
  }
  toast(`${type}${name ? ` to ${name}` : ""} is being sent: attempt ${created.attributes.attempt}.`, {
    action: { label: "View", href: href(`webhook-deliveries/${created.id}`) },
  });
  return created;
}

/** Makes a pending delivery due now. Gives its row, or null when its attempt is in flight. */
async function sendOneNow(row) {
  const { event_type: type, endpoint_name: name } = row.attributes;
  try {
    const sent = (await retry(row.id)).data;
    toast(`${type}${name ? ` to ${name}` : ""} is being sent now.`, {
      action: { label: "View", href: href(`webhook-deliveries/${sent.id}`) },
    });
    return sent;
  } catch (error) {
    fail(error.status === 409 ? new Error("This delivery is being sent already.") : error);
    return null;
  }
}

/** Retries the selected rows, each delivery once. Gives how many were queued. */
export async function retryChosen(chosen) {
  const rows = [];
  try {
    await each(chosen, async (row) => {
      rows.push(await withNewest(row));
    });
  } catch (error) {
    fail(error);
    return 0;
  }
  // Several rows may be attempts of one delivery; its newest says what a retry does.
  const newest = new Map();
  for (const row of rows) {
    const known = newest.get(row.attributes.delivery_id);
    if (!known || known.id < row.id) newest.set(row.attributes.delivery_id, row);
  }
  const all = [...newest.values()];
  const count = (...s) => all.filter((r) => s.includes(r.attributes.status)).length;
  const [failed, again, waiting] = [count("exhausted"), count("delivered", "cancelled"), count("pending")];
  let queued = 0,
    busy = 0;
  const problems = [];
  const text = html`<p>Sends one attempt for each now, whatever the webhook’s status.</p>
    <ul class="plain">
      ${failed > 0 && html`<li>${deliveries(failed)} failed: sent as the next attempt</li>`}
      ${again > 0 && html`<li>${deliveries(again)} ${again === 1 ? "was" : "were"} delivered or cancelled: sent again as ${again === 1 ? "a new delivery" : "new deliveries"}</li>`}
      ${waiting > 0 && html`<li>${deliveries(waiting)} ${waiting === 1 ? "is" : "are"} pending: sent now, ahead of the schedule</li>`}
    </ul>`;
  const said = waiting === all.length ? OF_PENDING : OF_FAILED;
  const act = async () => {
    await each(all, async (row) => {
      if (problems.length > 3) return;
      try {
        await retry(row.id);
        queued += 1;
      } catch (error) {
        if (error.status === 409) busy += 1;
        else problems.push(error);
      }
    });
    if (problems.length) throw new Error(`${number(queued)} of ${number(all.length)} queued. ${problems[0].message}`);
  };
  if (
    !(await confirm({ title: said.title(all.length), text, action: said.action(all.length), act }))
  )
    return queued;
  toast(`${deliveries(queued)} queued${busy ? `, ${number(busy)} already being sent` : ""}.`);
  return queued;
}

/** Retries all that match: counts, asks, then shows the progress. Gives true when it was started. */
export async function retryAll(filter, words) {
  const said = filter.status?.join() === "pending" ? OF_PENDING : OF_FAILED;
  let matched;
  try {
    matched = (await post("v1/webhooks/deliveries/retry", { filter, dry_run: true })).data.attributes.matched;
  } catch (error) {
    fail(error);
    return false;
  }
  if (!matched) {
    toast(said.nothing);
    return false;
  }
  let job;
  const started = await confirm({
    title: said.title(matched),
    text: said.text(words),
    action: said.action(matched),
    act: async () => {
      job = (await post("v1/webhooks/deliveries/retry", { filter })).data;
    },
  });
  if (started) await showRetry(job);
  return started;
}

/** The progress of a bulk retry. */
export const showRetry = (job) => showJob(job.id, `Retrying ${deliveries(job.attributes.matched)}`);
