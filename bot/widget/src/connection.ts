// Whether the network is there, and when to try again: at once when it comes back, else after a growing pause.

const FIRST_PAUSE_MILLISECONDS = 250;
const LONGEST_PAUSE_MILLISECONDS = 8_000;
const SHARE_OF_CHANCE = 0.2;

export type ConnectionState = "connected" | "offline" | "waiting";

export class Connection {
  state: ConnectionState = navigator.onLine ? "connected" : "offline";
  /** The pause now under way, in whole seconds. */
  seconds = 0;
  #wake: (() => void) | null = null;

  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  readonly #goneOffline = (): void => this.#become("offline");
  readonly #backOnline = (): void => {
    this.#become("connected");
    this.tryNow();
  };

  watch(): void {
    this.#become(navigator.onLine ? "connected" : "offline");
    addEventListener("offline", this.#goneOffline);
    addEventListener("online", this.#backOnline);
  }

  unwatch(): void {
    removeEventListener("offline", this.#goneOffline);
    removeEventListener("online", this.#backOnline);
    this.tryNow();
  }

  /** Waits before the given attempt (from 0): until the network is back, or for a pause that doubles each time. */
  async pause(attempt: number): Promise<void> {
    const milliseconds = Math.min(FIRST_PAUSE_MILLISECONDS * 2 ** attempt, LONGEST_PAUSE_MILLISECONDS);
    await new Promise<void>((resolve) => {
      const offline = this.state === "offline";
      const timer = offline ? 0 : setTimeout(resolve, milliseconds * (1 - SHARE_OF_CHANCE * Math.random()));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      // The first pause is too short to be worth a banner.
      if (!offline && attempt > 0) {
        this.seconds = Math.ceil(milliseconds / 1000);
        this.#become("waiting");
      }
    });
    this.#wake = null;
  }

  /** Ends the pause under way. */
  tryNow(): void {
    this.#wake?.();
  }

  /** Something was heard from the gateway. */
  heard(): void {
    if (this.state === "waiting") this.#become("connected");
  }

  #become(state: ConnectionState): void {
    if (this.state === state && state !== "waiting") return;
    this.state = state;
    this.#changed();
  }
}
