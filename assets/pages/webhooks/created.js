// A webhook that was just created: its signing secret, only once and only if it signs, and a test.
import { html } from "../../ui.js";
import { href } from "../../router.js";
import { Icon } from "../../components/icon.js";
import { Card, Page } from "../../components/page.js";
import { SecretOnce, useOnce } from "../../components/secret.js";
import { useSubjects } from "./subjects.js";
import { TestCard } from "./test.js";

export function Created({ webhook, recipe }) {
  const signs = webhook.attributes.request?.sign ?? true;
  return signs ? html`<${Signing} webhook=${webhook} recipe=${recipe} />` : html`<${Ready} webhook=${webhook} recipe=${recipe} done=${() => {}} />`;
}

function Signing({ webhook, recipe }) {
  const once = useOnce("signing secret", { page: true });
  return html`<${Ready} webhook=${webhook} recipe=${recipe} done=${once.done} verification><${Card} title="Signing secret"><div class="stack"><${SecretOnce} once=${once} items=${[["Signing secret", webhook.attributes.signing_secret]]}>The receiver needs it to verify signatures. It is shown only once; if it is lost, rotate it.<//></div><//><//>`;
}

function Ready({ webhook: { id, attributes: a }, recipe, done, verification, children }) {
  const subjects = useSubjects(a.events);
  const back = recipe ? ["integrations", "Integrations"] : ["webhooks", "Webhooks"];
  return html`<${Page} narrow title="${a.name} is ready" back=${html`<a class="back" href=${href(back[0])}><${Icon} name="left" size=${14} />${back[1]}</a>`}>
    ${children}
    <${TestCard} id=${id} subjects=${a.request ? subjects : null} receiver=${recipe?.title} />
    <div class="page-actions"><a class="button primary" href=${href(`webhooks/${id}`)} onClick=${done}>Go to the webhook</a>${verification && html`<a class="button" href=${href(`webhooks/${id}`, { part: "verification" })} onClick=${done}>Verification code</a>`}</div><//>`;
}
