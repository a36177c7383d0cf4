import { createHmac, timingSafeEqual } from "node:crypto";

// Whether a request is genuine. headers: names in lower case, as in request.headers; body: the bytes as
// they came, before anything parses them (Express: express.raw({ type: "*/*" }) and request.body).
export function verify(headers, body, tolerance = 300) {
  const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
  const timestamp = headers["webhook-timestamp"] ?? "";
  const age = Date.now() / 1000 - Number(timestamp);
  if (!/^\d+$/.test(timestamp) || Math.abs(age) > tolerance) return false;
  const signed = `${headers["webhook-id"]}.${timestamp}.`;
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(signed).update(body).digest("base64"));
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
