import { useState } from "preact/hooks";
import * as library from "../state/library";
import { cancel, dismiss, isOffline, mayCancel, retry, summary, uploads } from "../state/uploads";
import type { Upload } from "../state/uploads";
import { words } from "../words";
import { Icon } from "./Icon";

// Of hundreds, those that need an eye come first, and not all of the rest is in the page.
const SHOWN = 50;

export function UploadPanel() {
  // On a phone it would cover half of what is added.
  const [isOpen, setOpen] = useState(() => !matchMedia("(max-width: 37.5em)").matches);
  const now = summary.value;
  if (!now.all) return null;
  return (
    <section class="uploads" aria-label={words.upload.title}>
      <header>
        <strong role="status">
          {[
            now.isDone ? (now.ready > 0 || now.refused === 0) && words.upload.ready(now.ready) : words.upload.progress(now.uploaded, now.all),
            now.refused > 0 && words.upload.refused(now.refused),
          ]
            .filter(Boolean)
            .join(", ")}
        </strong>
        <span class="spring" />
        {now.ready > 0 && library.hidesNew.value && (
          <button type="button" class="link" onClick={() => library.find(library.everything)}>
            {words.upload.look}
          </button>
        )}
        {uploads.value.filter(mayCancel).length > 1 && (
          <button type="button" class="link" onClick={() => cancel(uploads.value)}>
            {words.upload.cancelAll}
          </button>
        )}
        <button
          type="button"
          class={isOpen ? "icon" : "icon turned"}
          aria-expanded={isOpen}
          aria-label={isOpen ? words.upload.hide : words.upload.show}
          onClick={() => setOpen(!isOpen)}
        >
          <Icon name="down" />
        </button>
        {now.isDone && (
          <button type="button" class="icon" aria-label={words.upload.dismiss} onClick={dismiss}>
            <Icon name="close" />
          </button>
        )}
      </header>
      {!now.isDone && <progress aria-label={words.upload.title} max={1} value={now.share} />}
      {isOpen && (
        <ul tabIndex={0} aria-label={words.upload.title}>
          {inOrder(uploads.value).map((upload) => (
            <Line key={upload.key} upload={upload} />
          ))}
        </ul>
      )}
    </section>
  );
}

function Line({ upload }: { upload: Upload }) {
  const share = upload.file.size ? upload.sentBytes / upload.file.size : 0;
  const name = upload.file.name || "pasted.png";
  return (
    <li class={upload.state}>
      <span class="name">{name}</span>
      {mayCancel(upload) && (
        <button
          type="button"
          class="icon"
          aria-label={words.upload.cancel(name)}
          onClick={(event) => {
            // This line goes, and the focus with it.
            event.currentTarget.closest("ul")?.focus();
            cancel([upload]);
          }}
        >
          <Icon name="close" />
        </button>
      )}
      {upload.state === "sending" ? (
        <progress aria-label={name} max={1} value={share} />
      ) : (
        <span class="quiet">{stateOf(upload)}</span>
      )}
      {upload.state === "refused" && upload.mayBeTaken && (
        <button type="button" class="link" onClick={() => retry(upload.key)}>
          {words.retry}
        </button>
      )}
    </li>
  );
}

function stateOf(upload: Upload): string {
  switch (upload.state) {
    case "waiting":
      return isOffline.value ? words.upload.pausedOffline : words.upload.waiting;
    case "sending":
      return words.upload.sending;
    case "processing":
      return words.upload.processing;
    case "ready":
      return words.upload.done;
    case "refused":
      return upload.problem ?? "";
  }
}

const RANK = { refused: 0, sending: 1, processing: 2, waiting: 3, ready: 4 };

const inOrder = (all: readonly Upload[]) =>
  all.toSorted((one, other) => RANK[one.state] - RANK[other.state]).slice(0, SHOWN);
