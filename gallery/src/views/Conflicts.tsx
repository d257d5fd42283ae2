import { conflicts } from "../state/edits";
import type { Conflict } from "../state/edits";
import { words } from "../words";
import { Dialog } from "./Dialog";

/** Asks whose word stands, one picture after the other. */
export function Conflicts() {
  const first = conflicts.value[0];
  if (!first) return null;
  return (
    <Dialog key={first} title={words.conflict.title} onClose={() => first.decide(false)}>
      <Contents conflict={first} />
    </Dialog>
  );
}

function Contents({ conflict: { now, mine, decide } }: { conflict: Conflict }) {
  const fields = [
    [words.details.name, now.title, mine.title],
    [words.details.description, now.description, mine.description],
    [words.details.tags, now.tags.join(", "), mine.tags?.join(", ")],
    [words.details.visibility, words.visibility[now.visibility], mine.visibility && words.visibility[mine.visibility]],
    [words.details.pixels, now.resolution, mine.resolution],
  ] as const;
  return (
    <>
      <p>{words.conflict.explained(now.title)}</p>
      {fields.map(
        ([name, there, wanted]) =>
          wanted != null && (
            <section key={name} aria-label={name}>
              <h3>{name}</h3>
              <dl class="facts">
                <div>
                  <dt>{words.conflict.there}</dt>
                  <dd>{there || words.conflict.none}</dd>
                </div>
                <div>
                  <dt>{words.conflict.mine}</dt>
                  <dd>{wanted || words.conflict.none}</dd>
                </div>
              </dl>
            </section>
          ),
      )}
      <p class="actions">
        <button type="button" class="primary" onClick={() => decide(true)}>
          {words.conflict.takeMine}
        </button>
        <button type="button" onClick={() => decide(false)}>
          {words.conflict.keep}
        </button>
      </p>
    </>
  );
}
