import type { Bus } from "@gantry/bus";
import { nodeContainerNotice, nodeContainerReport, type BodyOf, type ContainerState } from "@gantry/contracts";
import { describeError, type Clock, type Logger } from "@gantry/kernel";
import type { Agent } from "./context.ts";
import type { Entry } from "./model.ts";

/** What waits to be told at most. States that are dropped are asked for by the scheduler: the node registers again. */
const KEPT = 2_000;
/** Sent and not confirmed yet. */
const AHEAD = 32;
const AGAIN_MS = 500;

type Told = { kind: "report"; body: BodyOf<typeof nodeContainerReport> } | { kind: "notice"; body: BodyOf<typeof nodeContainerNotice> };
type Waiting = Told & { readonly number: number };

/** Tells the scheduler what happens here, in order. Nobody waits for it: while the bus is away, containers live on and this keeps what there is to tell. */
export class Reporter {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #waiting: Waiting[] = [];
  #bus: Pick<Bus, "publish"> | null = null;
  #told = 0;
  #ahead = 0;
  #resting = false;
  #dropped = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  connect(bus: Pick<Bus, "publish">): void {
    this.#bus = bus;
    this.#pump();
  }

  /** Whether something was dropped since this was asked last. */
  takeDropped(): boolean {
    const dropped = this.#dropped;
    this.#dropped = false;
    return dropped;
  }

  tell(told: Told): void {
    this.#waiting.push({ ...told, number: this.#told++ });
    if (this.#waiting.length > KEPT) {
      this.#waiting.shift();
      if (!this.#dropped) this.#logger.warn({}, `more than ${KEPT} reports wait to be sent; the oldest are dropped`);
      this.#dropped = true;
    }
    this.#pump();
  }

  #pump(): void {
    while (this.#bus !== null && !this.#resting && this.#ahead < AHEAD) {
      const told = this.#waiting.shift();
      if (told === undefined) return;
      this.#ahead++;
      void this.#send(this.#bus, told);
    }
  }

  async #send(bus: Pick<Bus, "publish">, told: Waiting): Promise<void> {
    try {
      await (told.kind === "report" ? bus.publish(nodeContainerReport, told.body) : bus.publish(nodeContainerNotice, told.body));
    } catch (e) {
      this.#logger.debug({ container: told.body.containerId }, `a report was not sent, and waits: ${describeError(e)}`);
      // In its place: others that were on their way come back too.
      const place = this.#waiting.findIndex(({ number }) => number > told.number);
      this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, told);
      this.#rest();
    } finally {
      this.#ahead--;
      this.#pump();
    }
  }

  #rest(): void {
    if (this.#resting) return;
    this.#resting = true;
    void this.#clock.sleep(AGAIN_MS).then(() => {
      this.#resting = false;
      this.#pump();
    });
  }
}

/**
 * Changes the state, with the next number. Numbers are microseconds where these are larger, so that they grow even when the last
 * ones were lost with the machine. Nothing is written here.
 */
export function change(agent: Agent, entry: Entry, change: Partial<ContainerState>): void {
  entry.stored.state = { ...entry.stored.state, ...change };
  entry.stored.seq = Math.max(entry.stored.seq + 1, agent.clock.now() * 1000);
}

/** Tells the scheduler. */
export function report(agent: Agent, entry: Entry, action: string | null, attributes: Record<string, string> = {}): void {
  const { seq, state } = entry.stored;
  agent.reporter.tell({ kind: "report", body: { nodeId: agent.nodeId, containerId: entry.id, seq, state, action, attributes } });
}

/** For `docker events` only. */
export function notice(agent: Agent, containerId: string, action: string, attributes: Record<string, string>): void {
  agent.reporter.tell({ kind: "notice", body: { nodeId: agent.nodeId, containerId, action, attributes } });
}
