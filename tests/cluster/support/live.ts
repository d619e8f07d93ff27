import http from "node:http";
import type { Testbed } from "../../testbed/testbed.ts";

interface NodeRow { readonly id: string; readonly state: string; readonly since: number | null }

export interface Live extends AsyncDisposable {
  /** What the live view tells of the nodes now: state by node ID. */
  states(): Readonly<Record<string, string>>;
}

/** Follows `GET /v1/live`, as the dashboard does. */
export function followLive(bed: Testbed): Live {
  let nodes: readonly NodeRow[] = [];
  let text = "";
  const request = http.get({ socketPath: bed.env["DOCKER_HOST"]!.slice("unix://".length), path: "/v1/live", agent: false }, (response) => {
    response.setEncoding("utf8").on("data", (chunk: string) => {
      const events = (text + chunk).split("\n\n");
      text = events.pop()!;
      for (const event of events) {
        const [, kind, data] = /^event: (snapshot|nodes)\ndata: (.*)$/.exec(event) ?? [];
        if (data !== undefined) nodes = kind === "snapshot" ? (JSON.parse(data) as { nodes: NodeRow[] }).nodes : JSON.parse(data) as NodeRow[];
      }
    });
    response.on("error", () => {});
  });
  request.on("error", () => {});
  return {
    states: () => Object.fromEntries(nodes.map(({ id, state }) => [id, state])),
    async [Symbol.asyncDispose]() { request.destroy(); },
  };
}
