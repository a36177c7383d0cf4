// Parts of a page that are loaded when they are first shown.
import { html, useEffect, useState } from "../ui.js";
import { ApiError, isThere } from "../api.js";
import { returns } from "../state.js";
import { fail } from "./toast.js";

const parts = new Map();

/** `<${Lazy} load=${() => import("./x.js")} name="Panel" …/>`: renders that export with the other properties, and nothing until it is loaded. */
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
        async () =>
          fail(
            (await isThere())
              ? new Error("A part of the page could not be loaded. Reload the page.")
              : new ApiError(0),
          ),
      );
  }, [key, returns.value]);
  const Part = parts.get(key);
  return Part ? html`<${Part} ...${rest} />` : null;
}
