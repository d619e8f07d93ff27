import { readFileSync, writeFileSync } from "node:fs";
import { describeError, type Logger } from "@gantry/kernel";

/** Sets a kernel setting below /proc/sys/net, only where it differs. False, with a warning of what will not work, where that is not permitted. */
export function setNetSysctl(name: string, value: string, without: string, logger: Logger): boolean {
  const path = `/proc/sys/net/${name}`;
  try {
    if (readFileSync(path, "utf8").trim() === value) return true;
    writeFileSync(path, value);
    return true;
  } catch (e) {
    logger.warn({ path, value, cause: describeError(e) }, `cannot set ${path} to ${value}: ${without}`);
    return false;
  }
}
