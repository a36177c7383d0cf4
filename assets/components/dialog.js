// Dialogs on the browser’s own <dialog>: it keeps the focus inside, closes with Escape and gives the focus back.
import { html, render, useEffect, useId, useRef, useState } from "../ui.js";
import { Icon } from "./icon.js";

/**
 * Open as long as it is rendered. `footer` holds the buttons. `sure` is asked before Escape, the cross or a click
 * beside the dialog close it, and gives (a promise of) whether they may.
 */
export function Dialog({ title, onClose, children, footer, wide, sure = () => true }) {
  const ref = useRef(null);
  const id = useId();
  const leave = async () => {
    if (await sure()) onClose();
  };
  const show = () => ref.current && !ref.current.open && ref.current.showModal();
  useEffect(() => {
    show();
    // What is asked for comes first, not the cross in the corner.
    ref.current.querySelector(".dialog-body :is(input, select, textarea):not([type=checkbox], [type=radio])")?.focus();
  }, []);
  return html`<dialog
    ref=${ref}
    class=${wide ? "dialog wide" : "dialog"}
    aria-labelledby=${id}
    onKeyDown=${(e) => {
      if (e.key !== "Escape" || e.defaultPrevented) return;
      // A browser asks `cancel` only once; the second Escape in a row would close the dialog whatever is said here.
      e.preventDefault();
      e.stopPropagation();
      leave();
    }}
    onCancel=${(e) => {
      e.preventDefault();
      leave();
    }}
    onClose=${show}
    onMouseDown=${(e) => {
      if (e.target === ref.current) leave();
    }}
  >
    <div class="dialog-box">
      <header>
        <h2 id=${id}>${title}</h2>
        <button type="button" class="button quiet icon-only" aria-label="Close" onClick=${leave}>
          <${Icon} name="cross" />
        </button>
      </header>
      <div class="dialog-body">${children}</div>
      ${footer && html`<footer>${footer}</footer>`}
    </div>
  </dialog>`;
}

/**
 * Asks before something that cannot be undone. `act` may be async: the dialog stays until it is done and shows what
 * went wrong. Gives true when it was done. `cancel` is what the other button says.
 */
export function confirm({ title, text, action = "Continue", cancel = "Cancel", danger = false, act = async () => {} }) {
  return new Promise((answer) => {
    const place = document.createElement("div");
    document.body.append(place);
    const close = (done) => {
      render(null, place);
      place.remove();
      answer(done);
    };
    render(html`<${Confirm} ...${{ title, text, action, cancel, danger, act, close }} />`, place);
  });
}

function Confirm({ title, text, action, cancel, danger, act, close }) {
  const [state, set] = useState({ busy: false, error: null });
  const run = async () => {
    set({ busy: true, error: null });
    try {
      await act();
      close(true);
    } catch (error) {
      set({ busy: false, error });
    }
  };
  return html`<${Dialog}
    title=${title}
    onClose=${() => close(false)}
    footer=${html`<button type="button" class="button" onClick=${() => close(false)}>${cancel}</button>
      <button
        type="button"
        class="button ${danger ? "danger" : "primary"}"
        disabled=${state.busy}
        aria-busy=${state.busy}
        onClick=${run}
      >
        ${action}
      </button>`}
  >
    ${typeof text === "string" ? html`<p>${text}</p>` : text}
    ${state.error && html`<p class="field-error" role="alert">${state.error.message}</p>`}
  <//>`;
}
