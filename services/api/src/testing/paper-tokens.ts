import { on, type Route } from "@gantry/bus";
import { fail, newToken, type NewToken, type Role, sessionCreate, tokenCheck, tokenCreate, type TokenInfo, tokenList, tokenRemove, tokenUsed } from "@gantry/contracts";
import type { Clock } from "@gantry/kernel";

const info = ({ id, name, role, created, expires, lastUsed }: TokenInfo): TokenInfo => ({ id, name, role, created, expires, lastUsed });

type Kept = TokenInfo & { hash: string; session: boolean };

/** The scheduler's tokens without a scheduler. Removals send no event: tests that want one publish it. */
export class PaperTokens {
  readonly #kept = new Map<string, Kept>();
  readonly #clock: Clock;
  /** How often it was asked, and whose use it was told. */
  checks = 0;
  readonly used: string[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add({ role = "admin", name = "", expires = null }: { role?: Role; name?: string; expires?: string | null }): NewToken {
    const token = newToken();
    this.#keep(token.id, { hash: token.hash, name, role, expires, session: false });
    return token;
  }

  remove(id: string): void {
    this.#kept.delete(id);
  }

  routes(): Route[] {
    return [
      on(tokenCheck, async ({ id }) => {
        this.checks++;
        return { token: this.#kept.get(id) ?? null };
      }),
      on(tokenUsed, async ({ id }) => { this.used.push(id); return {}; }),
      on(tokenList, async () => ({ tokens: [...this.#kept.values()].filter((kept) => !kept.session).map(info) })),
      on(tokenCreate, async ({ id, hash, name, role, expires }) => info(this.#keep(id, { hash, name, role, expires, session: false }))),
      on(tokenRemove, async ({ id }) => {
        if (!this.#kept.delete(id)) throw fail("NOT_FOUND", `No such token: ${id}`);
        return {};
      }),
      on(sessionCreate, async ({ id, hash, token, expires }) => {
        const parent = this.#kept.get(token);
        if (parent === undefined) throw fail("NOT_FOUND", `No such token: ${token}`);
        this.#keep(id, { hash, name: parent.name, role: parent.role, expires, session: true });
        return { expires };
      }),
    ];
  }

  #keep(id: string, kept: Omit<Kept, "id" | "created" | "lastUsed">): Kept {
    const record = { id, created: new Date(this.#clock.now()).toISOString(), lastUsed: null, ...kept };
    this.#kept.set(id, record);
    return record;
  }
}
