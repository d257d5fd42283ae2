import { useEffect, useMemo, useState } from "preact/hooks";
import { words } from "../words";

const PAUSE = /\bagain in (\d+) seconds?\b/;

/** What is said; a pause that it asks for grows shorter as it passes. */
export function Countdown({ text }: { text: string }) {
  const seconds = Number(PAUSE.exec(text)?.[1] ?? 0);
  // Counted from when it is said: an effect runs after the next frame, which is late on a busy or hidden page.
  const end = useMemo(() => Date.now() + 1000 * seconds, [text, seconds]);
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (!seconds) return;
    const tick = () => {
      setNow(Date.now());
      if (Date.now() >= end) clearInterval(timer);
    };
    const timer = setInterval(tick, 250);
    tick();
    return () => clearInterval(timer);
  }, [seconds, end]);
  if (!seconds) return <>{text}</>;
  const left = Math.min(seconds, Math.max(0, Math.ceil((end - now) / 1000)));
  // Read out once, and not every second.
  return <span aria-live="off">{left ? text.replace(PAUSE, words.trouble.againIn(left)) : words.trouble.againNow}</span>;
}
