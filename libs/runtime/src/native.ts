import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { errnoOf } from "@gantry/kernel";
import type { NativeFdPass, NativeFs, NativeNet } from "./native-port.ts";

/** The addon's modules. One that was left out of the build is absent and its use throws. */
export interface Native {
  readonly fs: NativeFs;
  readonly net: NativeNet;
  readonly fdpass: NativeFdPass;
}

const path = fileURLToPath(new URL("../../../native/build/gantry.node", import.meta.url));
let loaded: Native | null = null;

/** Loads native/build/gantry.node once. Throws when it was not built, or for another machine. */
export function loadNative(): Native {
  return loaded ??= load();
}

function load(): Native {
  try {
    return createRequire(import.meta.url)(path) as Native;
  } catch (e) {
    const why = errnoOf(e) === "MODULE_NOT_FOUND" ? "is not built" : "cannot be loaded";
    throw new Error(`the native addon ${path} ${why}: run \`make -C native\``, { cause: e });
  }
}
