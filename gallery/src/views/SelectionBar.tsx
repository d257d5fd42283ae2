import { useEffect, useState } from "preact/hooks";
import { tagsOf } from "../api/images";
import type { Image } from "../api/images";
import { addTags, destroy, restore, setVisibility, trash } from "../state/actions";
import * as library from "../state/library";
import { viewed } from "../state/navigation";
import { ask } from "../state/confirmation";
import { clear, gathered, isSelecting, selectAll, selected } from "../state/selection";
import { words } from "../words";
import { Dialog, isDialogOpen } from "./Dialog";
import { goOnAfter } from "./focus";
import { Icon } from "./Icon";
import { VISIBILITIES } from "./VisibilityOptions";

export function SelectionBar() {
  const [asksForTags, setAsksForTags] = useState(false);
  const [asksWho, setAsksWho] = useState(false);
  const targets = selected.value;
  // What is done is done to all of them.
  const isGathering = gathered.value !== null;
  /** And whoever does it goes on behind them. */
  const lose = (them: (targets: Image[]) => Promise<void>) => {
    goOnAfter(targets);
    void them(targets);
  };
  useEffect(() => {
    const leave = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !isSelecting.value) return;
      // Escape closes what is open, and clears what is written, first.
      const isWriting = event.target instanceof HTMLInputElement && event.target.type !== "checkbox";
      if (!isWriting && !isDialogOpen() && viewed.value === null) clear();
    };
    addEventListener("keydown", leave);
    return () => removeEventListener("keydown", leave);
  }, []);
  if (!isSelecting.value) return null;
  const isTrash = library.query.value.trashed;
  return (
    <section class="selection" aria-label={words.selection.label}>
      <button type="button" class="icon" aria-label={words.selection.clear} onClick={clear}>
        <Icon name="close" />
      </button>
      <strong role="status">{isGathering ? words.selection.gathering : words.selection.count(targets.length)}</strong>
      {gathered.value !== null && <span class="quiet">{gathered.value.toLocaleString("en")}</span>}
      <button type="button" onClick={() => void selectAll()}>
        {words.selection.all}
      </button>
      <span class="spring" />
      {isTrash ? (
        <button type="button" disabled={isGathering} onClick={() => lose(restore)}>
          <Icon name="restore" />
          {words.selection.restore}
        </button>
      ) : (
        <>
          <button type="button" disabled={isGathering} onClick={() => setAsksForTags(true)}>
            <Icon name="tag" />
            {words.selection.tag}
          </button>
          <button type="button" disabled={isGathering} onClick={() => setAsksWho(true)}>
            <Icon name="share" />
            {words.selection.visibility}
          </button>
          <button type="button" disabled={isGathering} onClick={() => lose(trash)}>
            <Icon name="trash" />
            {words.selection.trash}
          </button>
        </>
      )}
      <button
        type="button"
        class="danger"
        disabled={isGathering}
        onClick={async () => {
          const isWanted = await ask(words.selection.confirmDelete(targets.length), words.selection.forGood, words.details.delete);
          if (isWanted) lose(destroy);
        }}
      >
        {words.selection.delete}
      </button>
      {asksWho && (
        <Dialog title={words.selection.visibility} onClose={() => setAsksWho(false)}>
          {VISIBILITIES.map((each) => (
            <button
              type="button"
              key={each}
              onClick={() => {
                setAsksWho(false);
                void setVisibility(targets, each);
              }}
            >
              {words.visibility[each]}: {words.visibility.explained[each]}
            </button>
          ))}
        </Dialog>
      )}
      {asksForTags && (
        <Dialog title={words.selection.tag} onClose={() => setAsksForTags(false)}>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              const tags = tagsOf(String(new FormData(event.currentTarget as HTMLFormElement).get("tags")));
              setAsksForTags(false);
              if (tags.length) void addTags(targets, tags);
            }}
          >
            <label>
              {words.details.tags}
              <input name="tags" placeholder={words.details.tagsHint} required autofocus />
            </label>
            <button class="primary">{words.selection.tag}</button>
          </form>
        </Dialog>
      )}
    </section>
  );
}
