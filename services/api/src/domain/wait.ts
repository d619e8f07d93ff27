import type { DockerEvent } from "@gantry/contracts";
import { fail } from "@gantry/contracts";

export type WaitCondition = "not-running" | "next-exit" | "removed";

/** What is known of a container when it is looked at. */
export interface Snapshot { readonly status: string; readonly exitCode: number; readonly startedAt: string; readonly finishedAt: string; readonly error: string }

export interface WaitResult { readonly StatusCode: number; readonly Error?: { readonly Message: string } }

const ACTIVE = new Set(["running", "paused", "restarting"]);

export function parseCondition(value: string): WaitCondition {
  switch (value) {
    case "": case "not-running": return "not-running";
    case "next-exit": case "removed": return value;
    default: throw fail("INVALID", `invalid condition: "${value.slice(0, 64)}"`);
  }
}

/**
 * One `POST /containers/{id}/wait`. Fed with what the container looked like first, then with its events in order, and with
 * further looks (a lost event then costs time, not the answer). Each returns the result once it is there, else null.
 */
export class Wait {
  readonly #condition: WaitCondition;
  #first: Snapshot | null = null;
  #exitCode = 0;
  #error = "";

  constructor(condition: WaitCondition) {
    this.#condition = condition;
  }

  look(now: Snapshot): WaitResult | null {
    const first = (this.#first ??= now);
    this.#exitCode = now.exitCode;
    this.#error = now.error;
    if (this.#condition === "removed" || ACTIVE.has(now.status)) return null;
    const exitedSince = now.finishedAt !== first.finishedAt || now.startedAt !== first.startedAt;
    return this.#condition === "not-running" || exitedSince ? this.#result() : null;
  }

  /** An event of this container. */
  event(event: DockerEvent): WaitResult | null {
    if (event.Action === "destroy") return this.#result();
    if (event.Action !== "die") return null;
    this.#exitCode = Number(event.Actor.Attributes["exitCode"] ?? 0);
    this.#error = event.Actor.Attributes["error"] ?? "";
    return this.#condition === "removed" ? null : this.#result();
  }

  /** The container is no more. */
  gone(): WaitResult {
    return this.#result();
  }

  #result(): WaitResult {
    return this.#error === "" ? { StatusCode: this.#exitCode } : { StatusCode: this.#exitCode, Error: { Message: this.#error } };
  }
}
