// Esc closes the innermost thing that can be closed, and that alone.

/** Prevents too: a modal window would take the key for itself even where nobody passes it on. */
export function onEscape(close: () => void): (event: KeyboardEvent) => void {
  return (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    close();
  };
}
