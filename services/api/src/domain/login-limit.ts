/** Wrong logins that an address may send at once, and how soon it gets one back. */
const BURST = 20;
const REFILL_MS = 1_000;
const MAX_ADDRESSES = 4_096;

/**
 * Bounds the work that wrong logins make, by the address they come from (IPv6: by its /64). Guessing 256 random bits is hopeless, so
 * this protects the scheduler, not the tokens: valid ones that are known go on working from an address that is over its limit.
 */
export class LoginLimit {
  /** Oldest first. `debt`: wrong logins not yet forgiven at `at`. */
  readonly #debts = new Map<string, { debt: number; at: number }>();

  /** Milliseconds that the address must wait before its next try; 0 where it may try now. */
  waitMs(address: string, now: number): number {
    return Math.max(0, Math.ceil((this.#debt(address, now) - (BURST - 1)) * REFILL_MS));
  }

  failed(address: string, now: number): void {
    const debt = this.#debt(address, now) + 1;
    const key = network(address);
    this.#debts.delete(key);
    this.#debts.set(key, { debt, at: now });
    if (this.#debts.size <= MAX_ADDRESSES) return;
    const [oldest] = this.#debts.keys();
    if (oldest !== undefined) this.#debts.delete(oldest);
  }

  get addresses(): number {
    return this.#debts.size;
  }

  #debt(address: string, now: number): number {
    const known = this.#debts.get(network(address));
    return known === undefined ? 0 : Math.max(0, known.debt - (now - known.at) / REFILL_MS);
  }
}

function network(address: string): string {
  if (!address.includes(":") || address.startsWith("::ffff:")) return address;
  const [head = "", tail] = address.split("::", 2);
  const groups = head.split(":").filter((group) => group !== "");
  const after = (tail ?? "").split(":").filter((group) => group !== "");
  while (tail !== undefined && groups.length + after.length < 8) groups.push("0");
  return [...groups, ...after].slice(0, 4).join(":");
}
