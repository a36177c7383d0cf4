// Parts of a page that are loaded when they are first shown.
import { html, useEffect, useState } from "../ui.js";
import { fail } from "./toast.js";

const parts = new Map();

/** `<${Lazy} load=${() => import("./x.js")} name="Panel" …/>`: shows that export with the other properties; nothing until it is there. */
export function Lazy({ load, name = "default", ...rest }) {
  const key = `${load} ${name}`;
  const [, redraw] = useState(0);
  useEffect(() => {
    if (!parts.has(key))
      load().then(
        (module) => {
          parts.set(key, module[name]);
          redraw((n) => n + 1);
        },
        () => fail(new Error("A part of the page could not be loaded. Load the page again.")),
      );
  }, [key]);
  const Part = parts.get(key);
  return Part ? html`<${Part} ...${rest} />` : null;
}
