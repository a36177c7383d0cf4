// What every module with markup imports: markup, hooks and signals. Nothing specific to Postrider.
import { Component, Fragment, h, render } from "./vendor/preact/preact.js";
import htm from "./vendor/htm/htm.js";

export { Fragment, render };
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact/hooks.js";
export { batch, computed, effect, signal, useComputed, useSignal } from "./vendor/signals/signals.js";
export const html = htm.bind(h);

/** Class names without the falsy ones. */
export const cx = (...names) => names.filter(Boolean).join(" ");

/** A component that renders again only when one of its properties has changed. */
export function memo(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      return Object.keys(next).some((name) => next[name] !== this.props[name]);
    }
    render(props) {
      return draw(props);
    }
  };
}
