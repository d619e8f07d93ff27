import type { NodeRow } from "../live/rows.ts";
import { bytes, duration } from "./format.ts";
import { StateMark } from "./state-mark.tsx";

export function Nodes({ nodes, now }: { readonly nodes: readonly NodeRow[]; readonly now: number }) {
  return (
    <section aria-labelledby="nodes">
      <h2 id="nodes">Nodes</h2>
      {nodes.length === 0 ? <p className="empty">No node has registered yet.</p> : <ul className="cards">{nodes.map((node) => <Card key={node.id} node={node} now={now} />)}</ul>}
    </section>
  );
}

function Card({ node, now }: { readonly node: NodeRow; readonly now: number }) {
  return (
    <li className="card" data-node={node.id}>
      <h3>{node.name} <StateMark state={node.state} /></h3>
      <p className="quiet">{node.address}{node.since === null ? "" : ` · for ${duration(now - node.since)}`}</p>
      <dl>
        <div><dt>containers</dt><dd>{node.containers}</dd></div>
        <div><dt>CPUs</dt><dd>{node.cpus}</dd></div>
        <div><dt>memory</dt><dd>{bytes(node.memoryUsed)} of {bytes(node.memory)}</dd></div>
      </dl>
      <meter min={0} max={Math.max(node.memory, 1)} value={node.memoryUsed} high={node.memory * 0.9} aria-label={`memory in use on ${node.name}`} />
    </li>
  );
}
