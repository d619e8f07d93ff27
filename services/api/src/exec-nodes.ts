import { fail, nodeExecInspect, schedulerInfo } from "@gantry/contracts";
import { isGantryError } from "@gantry/kernel";
import type { Backend } from "./backend.ts";

export interface ExecNode { readonly nodeId: string; readonly address: string }

const KEPT = 4096;

/** On which node an exec is. A copy: what is not remembered (an exec made through another API) is asked of the nodes. */
export class ExecNodes {
  readonly #bus: Backend["bus"];
  readonly #nodes = new Map<string, ExecNode>();

  constructor(bus: Backend["bus"]) {
    this.#bus = bus;
  }

  remember(execId: string, node: ExecNode): void {
    this.#nodes.set(execId, node);
    if (this.#nodes.size > KEPT) this.#nodes.delete(this.#nodes.keys().next().value!);
  }

  /** Throws NO_SUCH_EXEC. */
  async find(execId: string): Promise<ExecNode> {
    const known = this.#nodes.get(execId);
    if (known !== undefined) return known;
    if (!/^[0-9a-f]{64}$/.test(execId)) throw noSuchExec(execId);
    const { nodes } = await this.#bus.call(schedulerInfo, {});
    const answers = await Promise.all(nodes.map((node) => this.#has(node, execId)));
    const found = answers.find((answer) => answer !== null);
    if (found === undefined || found === null) throw noSuchExec(execId);
    this.remember(execId, found);
    return found;
  }

  async #has(node: Record<string, unknown>, execId: string): Promise<ExecNode | null> {
    const { nodeId, address, alive } = node;
    if (typeof nodeId !== "string" || typeof address !== "string" || alive === false) return null;
    try {
      await this.#bus.call(nodeExecInspect, { execId }, { node: nodeId, timeoutMs: 5000 });
      return { nodeId, address };
    } catch (error) {
      if (isGantryError(error)) return null;
      throw error;
    }
  }
}

function noSuchExec(execId: string): Error {
  return fail("NO_SUCH_EXEC", `No such exec instance: ${execId}`);
}
