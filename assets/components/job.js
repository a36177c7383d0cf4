// Bulk jobs (retry, recover, replay): progress, and canceling.
import { html, render, useEffect, useState } from "../ui.js";
import { del, get } from "../api.js";
import { number, plural } from "../format.js";
import { Dialog } from "./dialog.js";
import { Note } from "./states.js";
import { announce, toast } from "./toast.js";

/** Follows a bulk job until it is done. Gives its attributes, or an error. */
export function useJob(id) {
  const [state, set] = useState({ job: null, error: null });
  useEffect(() => {
    if (!id) return undefined;
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const { data } = await get(`v1/jobs/${encodeURIComponent(id)}`, {}, { signal: stop.signal });
        set({ job: data.attributes, error: null });
        if (data.attributes.status === "running") timer = setTimeout(ask, 1000);
      } catch (error) {
        if (stop.signal.aborted) return;
        set((s) => ({ ...s, error }));
        if (error.status !== 404) timer = setTimeout(ask, 3000);
      }
    };
    ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id]);
  return state;
}

export function JobProgress({ job }) {
  const finished = job.delivered + job.exhausted;
  const all = Math.max(job.matched, 1);
  return html`<div class="job">
    <div
      class="job-bar"
      role="progressbar"
      aria-label="Progress"
      aria-valuemin="0"
      aria-valuemax=${job.matched}
      aria-valuenow=${finished}
    >
      <span class="ok" style=${{ width: `${(job.delivered / all) * 100}%` }}></span
      ><span class="bad" style=${{ width: `${(job.exhausted / all) * 100}%` }}></span>
    </div>
    <dl class="job-facts">
      <div>
        <dt>Matched</dt>
        <dd class="num">${number(job.matched)}</dd>
      </div>
      <div>
        <dt>Queued</dt>
        <dd class="num">${number(job.queued)}</dd>
      </div>
      <div>
        <dt>Delivered</dt>
        <dd class="num">${number(job.delivered)}</dd>
      </div>
      <div>
        <dt>Failed again</dt>
        <dd class="num">${number(job.exhausted)}</dd>
      </div>
    </dl>
  </div>`;
}

function JobDialog({ id, title, close }) {
  const { job, error } = useJob(id);
  const [stopping, setStopping] = useState(false);
  const running = !job || job.status === "running";
  useEffect(() => {
    if (job && job.status !== "running") announce(sentence(job));
  }, [job?.status]);
  const stop = async () => {
    setStopping(true);
    try {
      await del(`v1/jobs/${encodeURIComponent(id)}`);
      toast("Stopped. Unsent deliveries are cancelled.");
      close();
    } catch (e) {
      setStopping(false);
      toast(e.message, { tone: "bad" });
    }
  };
  return html`<${Dialog}
    title=${title}
    onClose=${close}
    footer=${html`${running && html`<button type="button" class="button danger" disabled=${stopping} onClick=${stop}>Cancel unsent deliveries</button>`}
      <button type="button" class="button primary" onClick=${close}>${running ? "Continue in background" : "Close"}</button>`}
  >
    <${JobProgress} job=${job ?? { matched: 0, queued: 0, delivered: 0, exhausted: 0 }} />
    <p class="muted">
      ${running ? "This continues in the background. New events take priority. Failed deliveries are retried on the webhook’s schedule, so it may take a while to finish." : sentence(job)}
    </p>
    ${error && html`<${Note} tone="warn">${error.message}<//>`}
  <//>`;
}

const sentence = (job) =>
  job.status === "cancelled"
    ? `Cancelled: ${number(job.delivered)} of ${plural(job.matched, "delivery", "deliveries")} succeeded.`
    : `Done: ${number(job.delivered)} of ${plural(job.matched, "delivery", "deliveries")} succeeded${job.exhausted ? `, ${number(job.exhausted)} failed again` : ""}.`;

/** Shows the progress of a bulk job in a dialog; resolves when the dialog is closed. */
export function showJob(id, title) {
  return new Promise((done) => {
    const place = document.createElement("div");
    document.body.append(place);
    const close = () => {
      render(null, place);
      place.remove();
      done();
    };
    render(html`<${JobDialog} id=${id} title=${title} close=${close} />`, place);
  });
}
