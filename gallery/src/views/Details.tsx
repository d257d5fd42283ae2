import { useEffect, useRef, useState } from "preact/hooks";
import * as api from "../api/images";
import type { Fit, Image, PastChange } from "../api/images";
import { inWords } from "../api/problem";
import { destroy, restore, trash } from "../state/actions";
import { edit } from "../state/edits";
import * as library from "../state/library";
import { isMine } from "../state/currentUser";
import { complain, say } from "../state/notices";
import { isDetailed, viewed } from "../state/navigation";
import { ask } from "../state/confirmation";
import { words } from "../words";
import { Icon } from "./Icon";
import { Panel } from "./Panel";
import { asMarkup, dayAndTime, fileName, kindOf, pixelsOf, readableBytes } from "./formatting";
import { renditionUrl, sourceSet } from "./imageSources";
import { TextFields } from "./TextFields";
import { turnFrom } from "./viewer";

export function Details() {
  const seen = useRef<Image | undefined>(undefined);
  // What the list no longer has stays until it is known what has become of it.
  const image = library.images.value.find((each) => each.id === viewed.value) ?? seen.current;
  seen.current = image;
  if (!isDetailed.value || image?.id !== viewed.value) return null;
  return (
    <Panel title={words.details.title} onClose={() => (isDetailed.value = false)}>
      <Contents key={image.id} image={image} isMine={isMine(image)} />
    </Panel>
  );
}

function Contents({ image, isMine }: { image: Image; isMine: boolean }) {
  return (
    <>
      {image.error && <p class="problem">{image.error}</p>}
      {isMine ? <TextFields image={image} /> : <ReadTexts image={image} />}
      <Facts image={image} />
      <Downloads image={image} isMine={isMine} />
      {image.visibility === "public" && <PublicLink image={image} />}
      {isMine && <Crop image={image} />}
      {isMine && <History image={image} />}
      {isMine && <LastThings image={image} />}
    </>
  );
}

function ReadTexts({ image }: { image: Image }) {
  return (
    <>
      <h3 dir="auto">{image.title}</h3>
      {image.description && <p dir="auto">{image.description}</p>}
      {image.tags.length > 0 && <p class="quiet">{image.tags.join(", ")}</p>}
    </>
  );
}

function Facts({ image }: { image: Image }) {
  const facts: [string, string | null][] = [
    [words.details.owner, image.username],
    [words.details.pixels, pixelsOf(image)],
    [words.details.size, readableBytes(image.size)],
    [words.details.kind, kindOf(image)],
    [words.details.taken, image.taken_at && dayAndTime(image.taken_at)],
    [words.details.added, dayAndTime(image.created_at)],
  ];
  return (
    <dl class="facts">
      {facts.map(
        ([name, value]) =>
          value && (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

function Downloads({ image, isMine }: { image: Image; isMine: boolean }) {
  // A button that is disabled loses the focus.
  const [isBusy, setBusy] = useState(false);
  const go = async (save: () => Promise<void>) => {
    if (isBusy) return;
    setBusy(true);
    await save().catch((error: unknown) => complain(inWords(error)));
    setBusy(false);
  };
  const saveShown = async () => {
    const { image: now, file } = await api.fullSize(image.id);
    const url = URL.createObjectURL(file);
    Object.assign(document.createElement("a"), { href: url, download: fileName(now) }).click();
    // The browser has begun to read it by then.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  };
  return (
    <p class="actions">
      <button type="button" aria-disabled={isBusy} disabled={image.url === null} onClick={() => void go(saveShown)}>
        <Icon name="download" />
        {words.details.download(pixelsOf(image), kindOf(image))}
      </button>
      {isMine && (
        <button
          type="button"
          aria-disabled={isBusy}
          onClick={() => void go(async () => location.assign(await api.originalUrl(image.id)))}
        >
          <Icon name="download" />
          {words.details.original}
        </button>
      )}
    </p>
  );
}

function PublicLink({ image }: { image: Image }) {
  if (image.rendition_url === null) {
    return image.status === "processing" ? <p class="quiet">{words.details.linkUnderWay}</p> : null;
  }
  const link = renditionUrl(image, Math.min(1600, image.width));
  const text = asMarkup((image.description.trim() || image.title).replace(/\s+/g, " "));
  const embed = `<img src="${link}" srcset="${sourceSet(image) ?? ""}" sizes="100vw" width="${image.width}" height="${image.height}" alt="${text}" loading="lazy">`;
  return (
    <>
      <Copyable label={words.details.link} text={link} />
      <Copyable label={words.details.embed} text={embed} />
    </>
  );
}

function Copyable({ label, text }: { label: string; text: string }) {
  return (
    <div class="copyable">
      <label>
        {label}
        <input readOnly value={text} onFocus={(event) => event.currentTarget.select()} />
      </label>
      <button
        type="button"
        aria-label={`${words.details.copy}: ${label}`}
        onClick={() => {
          void navigator.clipboard.writeText(text).then(() => say(words.details.copied));
        }}
      >
        {words.details.copy}
      </button>
    </div>
  );
}

function Crop({ image }: { image: Image }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const resolution = `${form.get("width")}x${form.get("height")}`;
    edit(image, { resolution, fit: String(form.get("fit")) as Fit }).then(
      (isSaved) => isSaved && say(words.details.applied),
      (error: unknown) => complain(inWords(error)),
    );
  };
  return (
    <details>
      <summary>{words.details.crop}</summary>
      <form class="crop" onSubmit={submit}>
        <label>
          {words.details.width}
          <input name="width" type="number" min={1} max={10_000} required defaultValue={String(image.width)} />
        </label>
        <label>
          {words.details.height}
          <input name="height" type="number" min={1} max={10_000} required defaultValue={String(image.height)} />
        </label>
        <label>
          {words.details.fit}
          <select name="fit">
            {(["cover", "contain", "stretch"] as const).map((fit) => (
              <option value={fit}>{words.details.fits[fit]}</option>
            ))}
          </select>
        </label>
        <button>{words.details.apply}</button>
      </form>
    </details>
  );
}

function History({ image }: { image: Image }) {
  const [changes, setChanges] = useState<PastChange[] | null>(null);
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    if (!isOpen) return;
    let isLatest = true;
    api.history(image.id).then(
      (told) => isLatest && setChanges(told),
      (error: unknown) => isLatest && complain(inWords(error)),
    );
    return () => void (isLatest = false);
  }, [isOpen, image.version, image.status]);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words.details.history}</summary>
      <ol class="history">
        {changes?.map((change) => (
          <li key={change.version} value={change.version}>
            <time dateTime={change.accepted_at}>{dayAndTime(change.accepted_at)}</time>
            {words.details.changes[change.change]}
            {words.details.changed(Object.keys(change.changes))},{" "}
            {change.outcome ? words.details.outcomes[change.outcome] : words.details.underWay}
            {change.reason && `: ${change.reason}`}
          </li>
        ))}
      </ol>
      {changes?.length === 0 && <p class="quiet">{words.details.historyEmpty}</p>}
    </details>
  );
}

function LastThings({ image }: { image: Image }) {
  const isTrashed = image.trashed_at !== null;
  return (
    <p class="actions">
      <button
        type="button"
        onClick={() => {
          turnFrom(image.id);
          void (isTrashed ? restore([image]) : trash([image]));
        }}
      >
        <Icon name={isTrashed ? "restore" : "trash"} />
        {isTrashed ? words.details.restore : words.details.trash}
      </button>
      <button
        type="button"
        class="danger"
        onClick={async () => {
          if (!(await ask(words.selection.confirmDelete(1), words.selection.forGood, words.details.delete))) return;
          turnFrom(image.id);
          void destroy([image]);
        }}
      >
        {words.details.delete}
      </button>
    </p>
  );
}
