import type { BuildRow } from "../live/rows.ts";
import { duration, shortId } from "./format.ts";
import { StateMark } from "./state-mark.tsx";

export function Builds({ builds, now }: { readonly builds: readonly BuildRow[]; readonly now: number }) {
  return (
    <section aria-labelledby="builds">
      <h2 id="builds">Builds</h2>
      {builds.length === 0 ? <p className="empty">No builds. <code>docker build</code> something, and it appears here.</p> : (
        <div className="scroll">
          <table>
            <thead><tr><th scope="col">Build</th><th scope="col">Tags</th><th scope="col">State</th><th scope="col">Step</th><th scope="col">Worker</th><th scope="col">Took</th><th scope="col">Submitted</th></tr></thead>
            <tbody>{builds.map((row) => <Row key={row.id} row={row} now={now} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ row, now }: { readonly row: BuildRow; readonly now: number }) {
  return (
    <tr data-build={row.id}>
      <td><code title={row.id}>{shortId(row.id)}</code></td>
      <td>{row.tags.join(", ")}</td>
      <td title={row.error ?? undefined}><StateMark state={row.state} />{row.error === null ? null : <span className="error">{row.error}</span>}</td>
      <td>{row.steps === 0 ? "" : <><progress max={row.steps} value={row.step} aria-label="steps done" /> {row.step}/{row.steps}</>}</td>
      <td>{row.worker ?? ""}{row.attempts > 1 ? ` (attempt ${row.attempts})` : ""}</td>
      <td>{row.started === null ? "" : duration((row.finished ?? now) - row.started)}</td>
      <td>{duration(now - row.created)} ago</td>
    </tr>
  );
}
