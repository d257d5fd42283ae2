import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { words } from "../words";
import { Icon } from "./Icon";
import { Notices } from "./Notices";

/** By their headings; the last one is on top. */
export const openDialogs = signal<readonly string[]>([]);

/** One that closes is open no longer, though what it showed is still to be taken away: the next key is not its own. */
export const isDialogOpen = () => document.querySelector("dialog[open]") !== null;

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** The browser's own dialog: it keeps the focus inside, and Escape closes it. */
export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    openDialogs.value = [...openDialogs.value, heading];
    return () => {
      openDialogs.value = openDialogs.value.filter((each) => each !== heading);
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button type="button" class="icon" aria-label={words.close} onClick={() => dialog.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
      {openDialogs.value.at(-1) === heading && <Notices />}
    </dialog>
  );
}
