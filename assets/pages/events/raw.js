// The payload of an event as it was posted.
import { rawAt } from "../../components/json-text.js";

/** The text of the payload in a response of the API; null when it is no longer kept. */
export function payloadOf(text) {
  const found = rawAt(text, ["data", "attributes", "payload"]);
  return found === "null" ? null : found;
}
