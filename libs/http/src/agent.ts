import { Agent, type AgentOptions, type ClientRequestArgs } from "node:http";
import type { Duplex } from "node:stream";
import { formatAddress } from "./address.ts";
import { connectTo, type Destination } from "./connect.ts";
import type { Credentials } from "./credentials.ts";

/** Of requests that go through a `ServiceAgent`. */
export interface ServiceRequestArgs extends ClientRequestArgs {
  readonly destination: Destination;
}

/** Connections to services, kept apart by address and by whom is expected there. */
export class ServiceAgent extends Agent {
  readonly #credentials: Credentials | null;

  constructor(options: AgentOptions, credentials: Credentials | null) {
    super(options);
    this.#credentials = credentials;
  }

  override getName(options?: ClientRequestArgs): string {
    const { address, identity } = (options as ServiceRequestArgs).destination;
    return `${formatAddress(address)} ${identity}`;
  }

  override createConnection(options: ClientRequestArgs, callback?: (error: Error | null, stream: Duplex) => void): undefined {
    connectTo((options as ServiceRequestArgs).destination, this.#credentials).then(
      (socket) => callback?.(null, socket),
      // Node's type has no place for "no stream".
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
  }
}
