// Talks to the gateway for one person: presents the bank's signed token, or gets and renews a guest's.
// Refusals become errors with a stable code. Knows no question and no element.

import type { Locale } from "./texts.js";

/** The gateway said no, or nobody answered: `code` is stable, `messages` are its sentences by language. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    readonly messages: Partial<Record<Locale, string>> = {},
    /** HTTP's, 0 where nobody answered. */
    readonly status = 0,
  ) {
    super(code);
  }
}

/** A guest's token, valid until `until` (milliseconds since 1970). */
export interface Guest {
  token: string;
  until: number;
}

/** Where the signed token of the bank's site comes from; `renew` says that the last one was refused. */
export type IdentityToken = (renew: boolean) => Promise<string | null>;

interface PostOptions {
  lastEventId?: string;
  signal?: AbortSignal;
}

const MARGIN_MILLISECONDS = 5_000;
/** The part of a guest token's life after which a new one is asked for. */
const RENEW_AFTER = 0.8;

export class Gateway {
  guest: Guest | null = null;
  #obtained = 0;

  readonly #endpoint: () => string;
  readonly #identity: IdentityToken;
  readonly #onStranger: () => void;

  /** `onStranger`: the guest is a new one, who cannot go on in the old one's conversation. */
  constructor(endpoint: () => string, identity: IdentityToken, onStranger: () => void) {
    this.#endpoint = endpoint;
    this.#identity = identity;
    this.#onStranger = onStranger;
  }

  /** POST as the person; a refused token is replaced once. `body` is made anew each time. Throws `Refused`. */
  async post(path: string, body: () => unknown, options: PostOptions = {}): Promise<Response> {
    return this.#call(path, { method: "POST" }, body, options);
  }

  async get(path: string, options: PostOptions = {}): Promise<Response> {
    return this.#call(path, { method: "GET" }, null, options);
  }

  async #call(
    path: string,
    request: RequestInit,
    body: (() => unknown) | null,
    options: PostOptions,
  ): Promise<Response> {
    let response = await this.#send(path, request, body?.(), await this.#bearer(false), options);
    if (response.status === 401) {
      response = await this.#send(path, request, body?.(), await this.#bearer(true), options);
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  async #bearer(renew: boolean): Promise<string> {
    const signed = await this.#identity(renew);
    if (signed) return signed;
    const left = this.guest ? this.guest.until - Date.now() : 0;
    if (!this.guest || renew || left < MARGIN_MILLISECONDS) await this.#openSession(null);
    else if (left < (this.guest.until - this.#obtained) * (1 - RENEW_AFTER)) await this.#openSession(this.guest.token);
    return this.guest?.token ?? "";
  }

  async #openSession(known: string | null): Promise<void> {
    const response = await this.#send("/v1/session", { method: "POST" }, {}, known, {});
    if (!response.ok) {
      if (known) return;
      throw await refusal(response);
    }
    const opened = (await response.json()) as { token: string; expires_in: number };
    if (this.guest && !known) this.#onStranger();
    this.#obtained = Date.now();
    this.guest = { token: opened.token, until: this.#obtained + opened.expires_in * 1000 };
  }

  async #send(
    path: string,
    request: RequestInit,
    body: unknown,
    token: string | null,
    { lastEventId, signal }: PostOptions,
  ): Promise<Response> {
    const headers: Record<string, string> = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    if (lastEventId !== undefined) headers["Last-Event-ID"] = lastEventId;
    try {
      return await fetch(this.#endpoint() + path, {
        ...request,
        headers,
        credentials: "omit",
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refused("connection_lost");
    }
  }
}

async function refusal(response: Response): Promise<Refused> {
  const body = (await response.json().catch(() => ({}))) as {
    error?: { code: string; message: string; message_ko: string };
  };
  const error = body.error;
  if (!error) return new Refused("connection_lost");
  return new Refused(error.code, { en: error.message, ko: error.message_ko }, response.status);
}
