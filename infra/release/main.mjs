/** npm run release -- [directory]: lays out a release there, or in build/release. */
import { join } from "node:path";
import { currentBundle } from "../setup/bundle.mjs";
import { BUILD, ROOT } from "../setup/paths.mjs";
import { stop } from "../setup/stop.mjs";
import { makeRelease } from "./make-release.mjs";

const bundle = currentBundle(ROOT);
if (bundle === null) stop("the services could not be bundled; node infra/setup/make-bundle.mjs says why.");
const { dir, version } = makeRelease(process.argv[2] ?? join(BUILD, "release"), bundle);
console.log(`Gantry ${version} for ${process.platform}-${process.arch} is in ${dir}; infra/README.md says how to install it.`);
