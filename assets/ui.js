// What every module with markup imports: one way to write markup, hooks and signals. Nothing of the product is here.
import { Component, Fragment, h, render } from "./vendor/preact/preact.js";
import htm from "./vendor/htm/htm.js";

export { Fragment, render };
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact/hooks.js";
export { batch, computed, effect, signal, useComputed, useSignal } from "./vendor/signals/signals.js";
export const html = htm.bind(h);

/** Class names, the falsy ones left out. */
export const cx = (...names) => names.filter(Boolean).join(" ");

/** A component that is drawn again only when one of its properties is another one. */
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
