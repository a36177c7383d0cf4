// One request to a source in full: what became of it and why, its headers and body, replay and preview.
import { html, useEffect, useRef, useState } from "../../ui.js";
import { get, post } from "../../api.js";
import { bytes } from "../../format.js";
import { go, href } from "../../router.js";
import { may } from "../../state.js";
import { Icon } from "../../components/icon.js";
import { JsonView } from "../../components/json.js";
import { useLoad } from "../../components/load.js";
import { Facts } from "../../components/page.js";
import { ErrorState, Note, Skeleton } from "../../components/states.js";
import { Time } from "../../components/time.js";
import { Headers } from "../deliveries/exchange.js";
import { pathOf } from "./actions.js";
import { StatusOf } from "./outcome.js";
import { Retake } from "./retake.js";
import { Verdict } from "./verdict.js";
import { OUTCOMES } from "./words.js";

export function RequestPanel({ source, n, onClose, onReplayed }) {
  const heading = useRef(null);
  useEffect(() => {
    heading.current.focus({ preventScroll: true });
  }, []);
  const load = useLoad(async (signal) => (await get(`${pathOf(source.id)}/requests/${n}`, {}, { signal })).data, [n]);
  return html`<aside class="panel" aria-labelledby="panel-title">
    <header><h2 id="panel-title" tabindex="-1" ref=${heading}>Request <span class="num">${n}</span></h2>
      <button type="button" class="button quiet icon-only" aria-label="Close" onClick=${onClose}><${Icon} name="cross" /></button></header>
    <div class="panel-body">${
      load.data
        ? html`<${Detail} source=${source} row=${load.data} onReplayed=${onReplayed} />`
        : load.error
          ? html`<${ErrorState} title=${load.error.status === 404 ? "Request not found" : undefined} error=${load.error.status === 404 ? { message: "It belongs to another source, or retention has removed it." } : load.error} retry=${load.error.status === 404 ? null : load.reload} />`
          : html`<${Skeleton} lines=${8} />`
    }</div></aside>`;
}

function Detail({ source, row, onReplayed }) {
  const a = row.attributes;
  const [preview, setPreview] = useState({ busy: false, data: null, error: null });
  const look = async () => {
    setPreview((s) => ({ ...s, busy: true }));
    try {
      const { data } = await post("v1/sources/preview", { source_id: source.id, request: { request_id: row.id } });
      setPreview({ busy: false, data: data.attributes, error: null });
    } catch (error) {
      setPreview({ busy: false, data: null, error });
    }
  };
  const replayed = (event) => {
    onReplayed();
    go(`events/${event.id}`);
  };
  const refused = ["rejected", "invalid"].includes(a.outcome);
  return html`<div class="detail">
    <div class="summary-bar"><${StatusOf} outcome=${a.outcome} /><span class="muted num">${a.status}</span>
      ${may("admin") && html`<span class="summary-actions"><button type="button" class="button" disabled=${preview.busy} aria-busy=${preview.busy} onClick=${look}>What would become of it now?</button><${Retake} id=${source.id} row=${row} primary=${refused} onDone=${replayed} /></span>`}</div>
    ${a.reason ? html`<${Note} tone=${refused ? "bad" : "warn"}>${a.reason}<//>` : html`<p class="muted">${OUTCOMES[a.outcome]?.hint}</p>`}
    ${preview.error && html`<${Note} tone="bad">${preview.error.message}<//>`}
    ${preview.data && html`<section aria-label="Preview"><h3>With the present settings</h3><${Verdict} p=${preview.data} stored /></section>`}
    <${Facts} items=${[
      ["Received", html`<${Time} at=${a.received_at} />`],
      ["Request", html`<span class="method">${a.method}</span>${a.path && html` <span class="mono anywhere">/${a.path}</span>`}`],
      ["From", a.client_ip ?? "Unknown"],
      ["Size", html`<span class="num">${bytes(a.size)}</span>`],
      a.event_id && ["Event", html`<a class="mono anywhere" href=${href(`events/${a.event_id}`)}>${a.event_type}</a>`],
    ]} />
    <section aria-label="Body"><h3>Body</h3>${
      a.body === null
        ? a.event_id
          ? html`<p>The body is the payload of the event. <a href=${href(`events/${a.event_id}`)}>View event</a></p>`
          : html`<p class="muted">${a.size ? "The body is not kept." : "The request had no body."}</p>`
        : html`<${JsonView} text=${a.body} label="Body" truncated=${a.body_truncated} empty="The request had no body." />`
    }</section>
    <${Headers} headers=${a.query} label="Query" />
    <${Headers} headers=${a.headers} label="Headers" open />
  </div>`;
}
