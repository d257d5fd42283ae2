import { act, dismiss, hold, letGo, notices } from "../state/notices";
import { words } from "../words";
import { Countdown } from "./Countdown";

/** At the lower edge; inside the dialog that is open, as all outside it is hidden from screen readers. */
export function Notices() {
  return (
    <div class="notices" role="log" aria-live="polite">
      {notices.value.map((notice) => (
        <div
          key={notice.id}
          class={notice.isTrouble ? "notice trouble" : "notice"}
          onPointerEnter={() => hold(notice)}
          onPointerLeave={(event) => event.currentTarget.matches(":focus-within") || letGo(notice)}
          onFocusIn={() => hold(notice)}
          onFocusOut={() => letGo(notice)}
        >
          <span>
            <Countdown text={notice.text} />
          </span>
          {notice.action && (
            <button type="button" title={words.undoKeys} aria-keyshortcuts="Control+Z" onClick={() => act(notice)}>
              {notice.action.label}
            </button>
          )}
          <button type="button" aria-label={words.close} onClick={() => dismiss(notice.id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
