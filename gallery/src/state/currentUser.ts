import { signal } from "@preact/signals";
import type { Account, Image } from "../api/images";

/** Who is signed in, once that is known. */
export const me = signal<Account | null>(null);

/** Nobody else may change it. */
export const isMine = (image: Image) => image.user_id === me.value?.id;
