import type { ContainerRow, NodeRow } from "../live/rows.ts";
import { bytes, duration } from "./format.ts";
import { StateMark } from "./state-mark.tsx";

interface Props { readonly nodes: readonly NodeRow[]; readonly containers: readonly ContainerRow[]; readonly now: number }

export function Nodes({ nodes, containers, now }: Props) {
  const of = (node: NodeRow) => containers.filter((c) => c.node === node.id);
  return (
    <section aria-labelledby="nodes">
      <h2 id="nodes">Nodes</h2>
      {nodes.length === 0 ? <p className="empty">No node has registered yet.</p> : <ul className="cards">{nodes.map((node) => <Card key={node.id} node={node} containers={of(node)} now={now} />)}</ul>}
    </section>
  );
}

function Card({ node, containers, now }: { readonly node: NodeRow; readonly containers: readonly ContainerRow[]; readonly now: number }) {
  const facts = [node.address, node.since === null ? "" : `for ${duration(now - node.since)}`].filter((text) => text !== "");
  return (
    <li className="card" data-node={node.id}>
      <h3>{node.name} <StateMark state={node.state} /></h3>
      <p className="quiet">{facts.join(" · ")}</p>
      <dl>
        <div><dt>containers running</dt><dd>{containers.filter((c) => c.state === "running").length} of {containers.length}</dd></div>
        <div><dt>CPUs</dt><dd>{node.cpus}</dd></div>
        <div><dt>memory</dt><dd>{node.memoryUsed === null ? "" : `${bytes(node.memoryUsed)} of `}{bytes(node.memory)}</dd></div>
      </dl>
      <meter min={0} max={Math.max(node.memory, 1)} value={node.memoryUsed ?? 0} high={node.memory * 0.9} aria-label={`memory in use on ${node.name}`} />
    </li>
  );
}
