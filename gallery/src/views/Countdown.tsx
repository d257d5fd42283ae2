import { useEffect, useState } from "preact/hooks";
import { words } from "../words";

const PAUSE = /\bagain in (\d+) seconds?\b/;

/** What is said; a pause that it asks for grows shorter as it passes. */
export function Countdown({ text }: { text: string }) {
  const seconds = Number(PAUSE.exec(text)?.[1] ?? 0);
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    setLeft(seconds);
    if (!seconds) return;
    const end = Date.now() + 1000 * seconds;
    const timer = setInterval(() => {
      const now = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      setLeft(now);
      if (!now) clearInterval(timer);
    }, 250);
    return () => clearInterval(timer);
  }, [text, seconds]);
  if (!seconds) return <>{text}</>;
  // Read out once, and not every second.
  return <span aria-live="off">{left ? text.replace(PAUSE, words.trouble.againIn(left)) : words.trouble.againNow}</span>;
}
