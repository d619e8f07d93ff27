import { useState } from "react";
import type { ContainerRow, NodeRow } from "../live/rows.ts";
import { duration, ports, shortId, status } from "./format.ts";
import { matches } from "./search.ts";
import { StateMark } from "./state-mark.tsx";

/** More rows than this are counted, not shown: the search finds them. */
const MAX_ROWS = 500;

interface Props { readonly containers: readonly ContainerRow[]; readonly nodes: readonly NodeRow[]; readonly now: number }

export function Containers({ containers, nodes, now }: Props) {
  const [search, setSearch] = useState("");
  const [all, setAll] = useState(true);
  const names = new Map(nodes.map((node) => [node.id, node.name]));
  const unreachable = new Set(nodes.filter((node) => node.state === "unreachable").map((node) => node.id));
  const found = containers.filter((row) => (all || row.state === "running") && matches(search, [row.id, row.name, row.image, row.state, names.get(row.node) ?? row.node]));
  return (
    <section aria-labelledby="containers">
      <h2 id="containers">Containers</h2>
      <p className="tools">
        <input type="search" placeholder="name, image, node, state …" aria-label="Search containers" value={search} onChange={(e) => setSearch(e.target.value)} />
        <label><input type="checkbox" checked={all} onChange={(e) => setAll(e.target.checked)} /> stopped ones too</label>
        <span className="quiet">{found.length} of {containers.length}</span>
      </p>
      <div className="scroll">
        <table>
          <thead><tr><th scope="col">Container</th><th scope="col">Name</th><th scope="col">Image</th><th scope="col">State</th><th scope="col">Status</th><th scope="col">Node</th><th scope="col">Ports</th><th scope="col">Created</th></tr></thead>
          <tbody>
            {found.slice(0, MAX_ROWS).map((row) => (
              <tr key={row.id} data-container={row.id}>
                <td><code title={row.id}>{shortId(row.id)}</code></td>
                <td>{row.name}</td>
                <td title={row.command}>{row.image}</td>
                <td><StateMark state={row.state} /></td>
                <td>{status(row, now)}{unreachable.has(row.node) ? <span className="error">node unreachable: as last heard</span> : null}</td>
                <td>{names.get(row.node) ?? row.node}</td>
                <td>{ports(row.ports)}</td>
                <td>{duration(now - row.created)} ago</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {containers.length === 0 ? <p className="empty">No containers. <code>docker run</code> one, and it appears here.</p> : null}
      {found.length > MAX_ROWS ? <p className="quiet">The newest {MAX_ROWS} are shown; search for others.</p> : null}
    </section>
  );
}
