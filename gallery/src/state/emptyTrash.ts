/** The trash, emptied as a whole, however much of it is shown. */

import * as api from "../api/images";
import type { Image } from "../api/images";
import { inWords } from "../api/problem";
import { words } from "../words";
import { destroy } from "./actions";
import { everything } from "./library";
import { complain } from "./notices";
import { ask } from "./confirmation";

export async function emptyTrash(): Promise<void> {
  try {
    const all = await allOf({ ...everything, trashed: true });
    const isWanted = await ask(words.selection.confirmDelete(all.length), words.selection.forGood, words.details.delete);
    if (isWanted) await destroy(all);
  } catch (error) {
    complain(inWords(error));
  }
}

async function allOf(query: api.Query): Promise<Image[]> {
  const found: Image[] = [];
  for await (const page of api.pages(query)) found.push(...page.images);
  return found;
}
