import { createDecipheriv, hkdfSync } from "node:crypto";

// The payload, a Buffer. body: a Buffer. Verify the signature first: it is over the body as it came.
export function decrypt(body) {
  const secret = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
  const key = Buffer.from(hkdfSync("sha256", secret, "", "postrider/jwe/v1", 32));
  const [header, , iv, ciphertext, tag] = body.toString("ascii").split(".");
  const cipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv, "base64url"), { authTagLength: 16 });
  cipher.setAAD(Buffer.from(header, "ascii"));
  cipher.setAuthTag(Buffer.from(tag, "base64url"));
  return Buffer.concat([cipher.update(Buffer.from(ciphertext, "base64url")), cipher.final()]);
}
