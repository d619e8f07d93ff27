/**
 * `npm run bench -- [rounds]`: start to exit beside crun; `npm run bench -- profile [rounds]`: where the time of a start goes. Prints medians, and each row's ratio to the peer of the same run. The machine
 * is noisy: ratios count.
 */
import { Engine } from "../tests/e2e/support/engine.ts";
import { startToExit } from "./start-exit.ts";
import { profile } from "./start-profile.ts";

if (process.argv[2] === "profile") {
  await profile(Number(process.argv[3] ?? 60));
  process.exit();
}
const rounds = Number(process.argv[2] ?? 40);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error("usage: npm run bench -- [profile] [rounds]");

await using engine = await Engine.start();
await engine.loadBase("busybox");
const times = await startToExit(engine, rounds);

const at = (values: number[], part: number) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))]!;
const peer = at(times["crun run, no network"]!, 0.5);
console.log(`start to exit of true, ms, ${rounds} interleaved rounds`);
console.log(`${"".padEnd(28)}${"min".padStart(8)}${"median".padStart(8)}${"p90".padStart(8)}   median / crun`);
for (const [name, values] of Object.entries(times)) {
  console.log(name.padEnd(28) + [0, 0.5, 0.9].map((part) => at(values, part).toFixed(1).padStart(8)).join("") + `   ${(at(values, 0.5) / peer).toFixed(2)}`);
}
