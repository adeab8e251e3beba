// How a bank's site signs the chat's token in Node, with its private Ed25519 key; the gateway holds the public one (EdDSA).

import { createHmac, sign } from "node:crypto";

/** A token for one signed-in customer, valid for ten minutes. Neither key ever reaches the browser. */
export function signToken(customerNumber, pseudonymKey, privateKey) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = {
    aud: "haechi-chat",
    sub: createHmac("sha256", pseudonymKey).update(customerNumber).digest("hex"),
    kind: "customer",
    iat: now,
    exp: now + 600,
  };
  const signed = `${part({ alg: "EdDSA", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
}
