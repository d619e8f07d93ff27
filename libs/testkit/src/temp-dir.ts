import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** A new empty directory that is removed when the scope is disposed. `base` puts it elsewhere than the system's default. */
export function tempDir(scope: DisposableStack | AsyncDisposableStack, base: string = tmpdir()): string {
  const dir = mkdtempSync(path.join(base, "gantry-test-"));
  scope.defer(() => rmSync(dir, { recursive: true, force: true, maxRetries: 3 }));
  return dir;
}

let count = 0;

/** A name that no other test, file or run uses at the same time: letters, digits and dashes, at most 40 characters. */
export function uniqueName(part: string): string {
  return `${part.slice(0, 16)}-${process.pid.toString(36)}-${Date.now().toString(36)}-${(count++).toString(36)}`;
}
