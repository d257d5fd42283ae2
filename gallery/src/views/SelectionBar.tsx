import { useState } from "preact/hooks";
import { addTag, destroy, restore, setVisibility, trash } from "../state/deeds";
import * as library from "../state/library";
import { clear, isSelecting, selectAll, selected } from "../state/selection";
import { words } from "../words";
import { Dialog } from "./Dialog";
import { Icon } from "./Icon";

export function SelectionBar() {
  const [asksForTag, setAsksForTag] = useState(false);
  const [asksWho, setAsksWho] = useState(false);
  const targets = selected.value;
  if (!isSelecting.value) return null;
  const isTrash = library.query.value.trashed;
  return (
    <section class="selection" aria-label={words.selection.label}>
      <button type="button" class="icon" aria-label={words.selection.clear} onClick={clear}>
        <Icon name="close" />
      </button>
      <strong role="status">{words.selection.count(targets.length)}</strong>
      <button type="button" onClick={selectAll}>
        {words.selection.all}
      </button>
      <span class="spring" />
      {isTrash ? (
        <button type="button" onClick={() => void restore(targets)}>
          <Icon name="restore" />
          {words.selection.restore}
        </button>
      ) : (
        <>
          <button type="button" onClick={() => setAsksForTag(true)}>
            <Icon name="tag" />
            {words.selection.tag}
          </button>
          <button type="button" onClick={() => setAsksWho(true)}>
            <Icon name="share" />
            {words.selection.visibility}
          </button>
          <button type="button" onClick={() => void trash(targets)}>
            <Icon name="trash" />
            {words.selection.trash}
          </button>
        </>
      )}
      <button
        type="button"
        class="danger"
        onClick={() => confirm(words.selection.confirmDelete(targets.length)) && void destroy(targets)}
      >
        {words.selection.delete}
      </button>
      {asksWho && (
        <Dialog title={words.selection.visibility} onClose={() => setAsksWho(false)}>
          {(["private", "shared", "public"] as const).map((each) => (
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
      {asksForTag && (
        <Dialog title={words.selection.tag} onClose={() => setAsksForTag(false)}>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              const tag = String(new FormData(event.currentTarget as HTMLFormElement).get("tag")).trim();
              setAsksForTag(false);
              if (tag) void addTag(targets, tag);
            }}
          >
            <label>
              {words.selection.tagPrompt}
              <input name="tag" required maxLength={64} autofocus />
            </label>
            <button class="primary">{words.selection.tag}</button>
          </form>
        </Dialog>
      )}
    </section>
  );
}
