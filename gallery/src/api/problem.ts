import { words } from "../words";

/** A request that was refused, or did not come through (`status` 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }

  /** Whether the same request may succeed a little later. */
  get mayPass(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500 || this.code === "request_in_progress";
  }

  static unreachable(): Problem {
    return new Problem(0, "unreachable", navigator.onLine ? words.trouble.unreachable : words.trouble.offline);
  }

  static of(status: number, body: unknown, header: (name: string) => string | null): Problem {
    const { detail, code, errors } = (typeof body === "object" && body !== null ? body : {}) as {
      detail?: string;
      code?: string;
      errors?: { field: string; message: string }[];
    };
    const seconds = Number(header("Retry-After") ?? Number.NaN);
    const retryAfter = Number.isFinite(seconds) ? seconds : null;
    return new Problem(status, code ?? "unknown", Problem.inWords(status, detail, errors, retryAfter, header), retryAfter);
  }

  private static inWords(
    status: number,
    detail: string | undefined,
    errors: { message: string }[] | undefined,
    retryAfter: number | null,
    header: (name: string) => string | null,
  ): string {
    if (errors?.length) return errors.map((each) => each.message).join(" · ");
    if (status === 429 && retryAfter !== null) {
      if (!detail) return words.trouble.busy(retryAfter);
      return new RegExp(`\\b${retryAfter}\\b`).test(detail) ? detail : `${detail} (${retryAfter} s)`;
    }
    if (detail && status < 500) return detail;
    const id = header("X-Correlation-Id");
    return `${detail ?? words.trouble.unknown}${id ? ` ${words.trouble.number(id)}` : ""}`;
  }
}

export function inWords(error: unknown): string {
  return error instanceof Problem ? error.message : words.trouble.unknown;
}
