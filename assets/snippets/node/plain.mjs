import { createHmac, timingSafeEqual } from "node:crypto";

// Whether a request is genuine. headers: names in lower case, as in request.headers; body: the bytes as
// they came, before anything parses them (Express: express.raw({ type: "*/*" }) and request.body).
export function verify(headers, body) {
  const hex = createHmac("sha256", process.env.WEBHOOK_SECRET).update(body).digest("hex");
  const expected = Buffer.from(`sha256=${hex}`);
  const given = Buffer.from(headers["x-webhook-signature"] ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
