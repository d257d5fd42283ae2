import { computed, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import { words } from "../words";
import { openDialogs } from "./Dialog";
import { Icon } from "./Icon";
import { Notices } from "./Notices";

const wide = matchMedia("(min-width: 56.25em)");

/** Whether there is room for a panel beside what it is about; otherwise it covers that. */
export const isBeside = signal(wide.matches);
wide.addEventListener("change", () => (isBeside.value = wide.matches));

const isOpen = signal(false);
/** All else is below it. */
export const coversAll = computed(() => isOpen.value && !isBeside.value);

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** Beside the viewer, both in use at once. */
export function Panel({ title, onClose, children }: Props) {
  const panel = useRef<HTMLElement>(null);
  const heading = useId();
  useLayoutEffect(
    () => () => {
      // Closing leaves the field, too, in which somebody writes.
      if (panel.current?.contains(document.activeElement)) (document.activeElement as HTMLElement).blur();
    },
    [],
  );
  useEffect(() => {
    isOpen.value = true;
    panel.current?.focus();
    return () => (isOpen.value = false);
  }, []);
  return (
    <section ref={panel} class="dialog panel" role="dialog" aria-labelledby={heading} tabIndex={-1}>
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button type="button" class="icon" aria-label={words.close} onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
      {!isBeside.value && !openDialogs.value.length && <Notices />}
    </section>
  );
}
