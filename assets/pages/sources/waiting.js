// Waits for the newest request of a source and says what it became, accepted or not.
import { html, useEffect, useRef, useState } from "../../ui.js";
import { get, post } from "../../api.js";
import { href } from "../../router.js";
import { may } from "../../state.js";
import { StatusOf } from "./outcome.js";
import { announce } from "../../components/toast.js";
import { useEvery, useLoad } from "../../components/load.js";
import { Card } from "../../components/page.js";
import { ErrorState, Note, Skeleton } from "../../components/states.js";
import { Time } from "../../components/time.js";
import { pathOf } from "./actions.js";
import { AddDestination, Verdict } from "./verdict.js";
import { Retake } from "./retake.js";

export function Waiting({ source, onChanged }) {
  const { id, attributes: a } = source;
  const newest = useLoad(async (signal) => (await get(`${pathOf(id)}/requests`, { per_page: 1 }, { signal })).data[0] ?? null, [id]);
  useEvery(2000, newest.reload);
  const row = newest.data;
  const before = useRef(undefined);
  useEffect(() => {
    if (row === undefined) return;
    if (before.current !== undefined && row && row.id !== before.current) {
      announce(row.attributes.outcome === "accepted" ? "A request arrived and was accepted." : "A request arrived.");
      onChanged();
    }
    before.current = row?.id ?? null;
  }, [row?.id, row === null]);

  if (row === undefined)
    return html`<${Card} title="First request">${newest.error ? html`<${ErrorState} error=${newest.error} retry=${newest.reload} />` : html`<${Skeleton} lines=${3} />`}<//>`;
  if (!row)
    return html`<${Card} title="First request"><div class="waiting" role="status"><span class="waiting-dot" aria-hidden="true"></span><div><strong>Waiting for the first request…</strong>
      <p class="muted">${a.enabled ? "Let the sender send its test. What comes is shown here at once, accepted or not." : "The source is disabled: its URL is answered like an unknown one. Enable it first."}</p></div></div><//>`;
  return html`<${Arrived} key=${row.id} source=${source} row=${row} onChanged=${onChanged} />`;
}

function Arrived({ source, row, onChanged }) {
  const { id } = source;
  const r = row.attributes;
  const [error, setError] = useState(null);
  // What became of it is in the log; what it means comes from a preview, which admins may ask for.
  const preview = useLoad(
    async () => {
      try {
        return (await post("v1/sources/preview", { source_id: id, request: { request_id: row.id } })).data.attributes;
      } catch (problem) {
        setError(problem);
        return null;
      }
    },
    [row.id, source.attributes.updated_at],
    may("admin") && r.outcome !== "invalid",
  );
  const fine = r.outcome === "accepted";
  const unwanted = fine && may("admin") && preview.data?.webhooks.every((w) => !w.wanted);
  return html`<${Card} title="Newest request" actions=${html`<span class="muted small"><${Time} at=${r.received_at} /></span>`}><div class="stack">
      <p class="outcome"><${StatusOf} outcome=${r.outcome} /> ${fine ? html`<span>It became <a class="mono" href=${href(`events/${r.event_id}`)}>${r.event_type}</a>.</span>` : html`<span>The sender got <span class="num">${r.status}</span>.</span>`}</p>
      ${r.reason && html`<${Note} tone=${fine ? "warn" : "bad"}>${r.reason}<//>`}
      ${preview.data && html`<${Verdict} p=${preview.data} stored offers=${false} />`}
      ${error && error.status !== 409 && html`<p class="muted small">${error.message}</p>`}
      <div class="page-actions">
        ${fine && may("admin") && preview.data && html`<${AddDestination} type=${r.event_type} primary=${unwanted} button />`}
        ${may("admin") && !fine && html`<${Retake} id=${id} row=${row} onDone=${onChanged} />`}
        <a class="button" href=${href(`integrations/sources/${id}`, { part: "requests", open: row.id })}>View request</a></div>
    </div><//>`;
}
