import { spawn } from "node:child_process";
import { readFile, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@gantry/kernel";
import { fail } from "@gantry/contracts";

const SUITE = "bookworm";
const EXCLUDED = ["usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "var/cache/apt/*.bin", "var/log/*.log"];

/**
 * Writes a minimal Debian root file system as a layer tar, with the packages and the mirror that this machine itself uses.
 * `include` names packages beyond the minimum. Takes some 30 s.
 */
export async function debianLayer(file: string, include: readonly string[]): Promise<void> {
  const sources = await hostSources();
  const args = [
    "--mode=root", "--variant=minbase", "--format=tar", "--quiet",
    "--aptopt=Acquire::Languages \"none\"", "--dpkgopt=force-unsafe-io",
    ...EXCLUDED.map((path) => `--dpkgopt=path-exclude=/${path}`),
    ...(include.length > 0 ? [`--include=${include.join(",")}`] : []),
    SUITE, `${file}.new`, "-",
  ];
  await new Promise<void>((resolve, reject) => {
    const child = spawn("mmdebstrap", args, { stdio: ["pipe", "ignore", "pipe"], env: { ...process.env, SOURCE_DATE_EPOCH: "1700000000", TMPDIR: "/tmp" } });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => { errors = (errors + chunk.toString()).slice(-4000); });
    child.on("error", (e) => reject(fail("NOT_FOUND", "mmdebstrap does not start: install Debian's mmdebstrap", { cause: e })));
    child.on("close", (code) => (code === 0 ? resolve() : reject(fail("INTERNAL", `mmdebstrap failed (${code}): ${errors.trim()}`))));
    child.stdin.on("error", () => {}); // the exit code tells
    child.stdin.end(sources);
  });
  await rename(`${file}.new`, file);
}

/** This machine's own apt sources, in one text. */
async function hostSources(): Promise<string> {
  const texts = { list: "", sources: "" };
  const add = async (path: string) => {
    const kind = path.endsWith(".sources") ? "sources" : "list";
    try {
      texts[kind] += `${await readFile(path, "utf8")}\n\n`;
    } catch (e) {
      if (errnoOf(e) !== "ENOENT") throw e;
    }
  };
  await add("/etc/apt/sources.list");
  const dir = "/etc/apt/sources.list.d";
  for (const name of (await readdir(dir).catch(() => [])).sort()) if (/\.(list|sources)$/.test(name)) await add(join(dir, name));
  const debian = (text: string) => /\bdebian\b/.test(text);
  if (debian(texts.sources)) return texts.sources;
  if (debian(texts.list)) return texts.list;
  throw fail("NOT_FOUND", "this machine has no apt sources for Debian in /etc/apt/sources.list(.d)");
}
