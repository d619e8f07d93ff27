import { useEffect, useState, useSyncExternalStore } from "react";
import type { Live } from "./live/connection.ts";
import type { LiveState } from "./live/state.ts";
import { Builds } from "./view/builds.tsx";
import { Containers } from "./view/containers.tsx";
import { Nodes } from "./view/nodes.tsx";

const CONNECTION = {
  connecting: "connecting …",
  live: "live",
  lost: "connection lost: what you see may be old; trying again …",
  refused: "signed out: open the address that `npm start` or `gantry token create` printed",
} as const;

/** The time, each second, for durations that grow. */
function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export function App({ live }: { readonly live: Live }) {
  const state = useSyncExternalStore(live.subscribe, live.state);
  const now = useNow();
  return (
    <>
      <header>
        <h1>Gantry</h1>
        <Summary state={state} />
        <p className={`connection ${state.connection}`} role="status">{CONNECTION[state.connection]}</p>
      </header>
      <main>
        <Nodes nodes={state.nodes} containers={state.containers} now={now} />
        <Containers containers={state.containers} nodes={state.nodes} now={now} />
        <Builds builds={state.builds} now={now} />
      </main>
    </>
  );
}

function Summary({ state: { nodes, containers, builds } }: { readonly state: LiveState }) {
  const ready = nodes.filter((n) => n.state === "ready").length;
  const facts: readonly (readonly [string, string])[] = [
    ["nodes ready", `${ready}/${nodes.length}`],
    ["containers running", `${containers.filter((c) => c.state === "running").length}/${containers.length}`],
    ["builds running", String(builds.filter((b) => b.state === "running").length)],
    ["builds queued", String(builds.filter((b) => b.state === "queued").length)],
  ];
  return <dl className="summary">{facts.map(([name, value]) => <div key={name}><dd>{value}</dd><dt>{name}</dt></div>)}</dl>;
}
