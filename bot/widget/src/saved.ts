// What a reload brings back: the conversation as the gateway masked it, for thirty minutes, in this tab alone.

import type { Guest } from "./gateway.js";
import type { SavedTurn } from "./turn.js";

const KEY = "haechi-chat";
const KEPT_MILLISECONDS = 30 * 60 * 1000;
const MAXIMUM_TURNS = 30;

export interface Saved {
  conversation: string;
  guest: Guest | null;
  open: boolean;
  turns: SavedTurn[];
}

/** `owner` tells signed-in persons of one tab apart. A browser that forbids storage keeps nothing. */
export function save(owner: string, saved: Saved): void {
  const kept = { ...saved, turns: saved.turns.slice(-MAXIMUM_TURNS), owner, until: Date.now() + KEPT_MILLISECONDS };
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    forget();
  }
}

export function saved(owner: string): Saved | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as (Saved & { owner: string; until: number }) | null;
    if (kept && kept.until > Date.now()) return kept.owner === owner ? kept : null;
  } catch {
    // Written by an older edition, or not to be had: as good as none.
  }
  forget();
  return null;
}

export function forget(): void {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // A browser that forbids storage has nothing to forget.
  }
}
