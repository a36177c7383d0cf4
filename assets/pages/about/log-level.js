// The level of the server’s log: shown to everybody, changed by owners, until the next restart.
import { html } from "../../ui.js";
import { get, put } from "../../api.js";
import { may } from "../../state.js";
import { Field, Form, Submit, useForm } from "../../components/form.js";
import { useLoad } from "../../components/load.js";
import { Card } from "../../components/page.js";
import { ErrorState, Skeleton } from "../../components/states.js";
import { toast } from "../../components/toast.js";

const ADDRESS = "admin/api/log-level";

export function LogLevel() {
  const load = useLoad((signal) => get(ADDRESS, {}, { signal }));
  const view = load.data;
  if (!view)
    return html`<${Card} title="Server log">${load.error ? html`<${ErrorState} error=${load.error} retry=${load.reload} />` : html`<${Skeleton} lines=${2} />`}<//>`;
  return html`<${Card} title="Server log">${may("owner") ? html`<${Change} key=${view.level} view=${view} onSaved=${load.reload} />` : html`<p>Level: <code>${view.level}</code></p>`}<//>`;
}

function Change({ view, onSaved }) {
  const save = async (level) => {
    const done = await put(ADDRESS, { level });
    toast(`Log level set to ${done.level}.`);
    onSaved();
  };
  const form = useForm({ initial: { level: view.level }, submit: ({ level }) => save(level.trim()) });
  const reset = () => save(null).catch(() => form.run());
  return html`<${Form} form=${form} footer=${html`<${Submit} form=${form}>Change<//>${view.level !== view.configured && html`<button type="button" class="button" onClick=${reset}>Reset to ${view.configured}</button>`}`}>
    <${Field} form=${form} name="level" label="Log level" spellcheck="false" autocomplete="off" hint="off, error, warn, info, debug, trace, or a filter such as info,postrider::delivery=debug. Resets to ${view.configured} (the configured level) on restart." /><//>`;
}
