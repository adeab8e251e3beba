// Talks to the gateway as one guest: gets the short-lived token, renews it, and turns refusals into errors with a code.

/** The gateway said no, or nobody answered: `code` is stable, `messages` are its sentences by language. */
export class Refused extends Error {
  constructor(code, messages = {}) {
    super(code);
    this.code = code;
    this.messages = messages;
  }
}

let token = null;
let conversation = newId();

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export const conversationId = () => conversation;

/** POST as the current guest; an expired token is replaced once. Throws `Refused`. */
export async function post(path, makeBody, { headers = {}, signal } = {}) {
  if (!token) await openSession();
  let response = await send(path, makeBody(), { ...headers, Authorization: `Bearer ${token}` }, signal);
  if (response.status === 401) {
    await openSession();
    response = await send(path, makeBody(), { ...headers, Authorization: `Bearer ${token}` }, signal);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function openSession() {
  const response = await send("/v1/session", { locale: document.documentElement.lang }, {});
  if (!response.ok) throw await refusal(response);
  const opened = await response.json();
  // A new guest cannot go on in the old guest's conversation.
  if (token) conversation = newId();
  token = opened.token;
  setTimeout(renew, opened.expires_in * 800);
}

async function renew() {
  const response = await fetch("/v1/session", request({}, { Authorization: `Bearer ${token}` })).catch(() => null);
  if (!response?.ok) return;
  const renewed = await response.json();
  token = renewed.token;
  setTimeout(renew, renewed.expires_in * 800);
}

async function send(path, body, headers, signal) {
  try {
    return await fetch(path, request(body, headers, signal));
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused("connection_lost");
  }
}

function request(body, headers, signal) {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    credentials: "omit",
    signal,
  };
}

async function refusal(response) {
  const error = (await response.json().catch(() => ({}))).error ?? { code: "connection_lost" };
  return new Refused(error.code, { en: error.message, ko: error.message_ko });
}
