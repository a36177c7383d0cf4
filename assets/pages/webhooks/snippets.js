// How a receiver verifies requests: headers, signed content, and code to paste.
import { html, useMemo, useState } from "../../ui.js";
import { get } from "../../api.js";
import { plural } from "../../format.js";
import { useLoad } from "../../components/load.js";
import { Card } from "../../components/page.js";
import { ErrorState, Skeleton } from "../../components/states.js";
import { Tabs } from "../../components/tabs.js";
import { CopyButton } from "../../components/text.js";
import { CheckRequest } from "./check.js";

const LANGUAGES = {
  bash: "Shell",
  python: "Python",
  node: "Node.js",
  php: "PHP",
  go: "Go",
  rust: "Rust",
  csharp: "C#",
};

const PARTS = [
  ["code", "Code"],
  ["check", "Check a request"],
];

/** Verification code for the receiver, and a check of a rejected request. */
export function Verification({ id }) {
  const [part, setPart] = useState("code");
  return html`<${Card} title="Verify signatures" className="verify"
    ><${Tabs} label="Verification" tabs=${PARTS} current=${part} onChange=${setPart}
      ><div class="verify-part">
        ${part === "code" ? html`<${Code} id=${id} />` : html`<${CheckRequest} id=${id} />`}
      </div><//
    ><//
  >`;
}

function Code({ id }) {
  const load = useLoad(
    async (signal) => (await get(`v1/webhooks/${encodeURIComponent(id)}/verification`, {}, { signal })).data.attributes,
    [id],
  );
  const v = load.data;
  if (v) return html`<${Shown} v=${v} />`;
  return load.error
    ? html`<${ErrorState} error=${load.error} retry=${load.reload} />`
    : html`<${Skeleton} lines=${6} />`;
}

function Shown({ v }) {
  const tasks = useMemo(() => [...new Set(v.snippets.map((s) => s.title))], [v]);
  const [task, setTask] = useState(tasks[0]);
  const here = v.snippets.filter((s) => s.title === task);
  const [wanted, setLanguage] = useState("node");
  const found = here.find((s) => s.language === wanted) ?? here[0];
  return html`<div class="stack">
    <p class="muted">Verification code for your receiver. It reads the signing secret from the environment variable <code>${v.secret_variable}</code>. Timestamps may be off by up to ${plural(v.tolerance_seconds / 60, "minute")}.</p>
    <select class="choice wide" aria-label="Task of the code" value=${task} onChange=${(e) => setTask(e.target.value)}>${tasks.map((t) => html`<option value=${t} selected=${t === task}>${t}</option>`)}</select>
    <${Tabs} label="Language" tabs=${here.map((s) => [s.language, LANGUAGES[s.language] ?? s.language])} current=${found.language} onChange=${setLanguage}>
      <div class="body-view"><div class="body-bar"><span class="muted">${LANGUAGES[found.language] ?? found.language}</span><${CopyButton} text=${found.code} what="Copy code" /></div>
      <pre class="body-text" tabindex="0" role="region" aria-label="Code"><code>${found.code}</code></pre></div><//>
    <details class="headers"><summary>What is signed</summary><dl>${v.schemes.map((s) => html`<div><dt>${s.headers.join(", ")}</dt><dd>HMAC-SHA256 of <strong>${s.content}</strong><br />key: ${s.key}<br />${s.format}</dd></div>`)}
      ${v.encryption && html`<div><dt>body</dt><dd>${v.encryption.format}, ${v.encryption.alg} ${v.encryption.enc}<br />key: ${v.encryption.key}</dd></div>`}</dl></details>
    ${v.notes.length > 0 && html`<ul class="plain muted">${v.notes.map((n) => html`<li>${n}</li>`)}</ul>`}
  </div>`;
}
