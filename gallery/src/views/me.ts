import { signal } from "@preact/signals";
import type { Account } from "../api/images";

/** Who is signed in, once that is known. */
export const me = signal<Account | null>(null);
