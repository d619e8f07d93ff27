import { Testbed } from "./testbed.ts";

/**
 * The testbed of the whole test run (runner.ts), if there is one, else one of the caller's own with the usual three agents. Other test
 * files use it after this one: leave it as it was found, healthy and without containers.
 */
export async function sharedTestbed(): Promise<Testbed> {
  const dir = process.env["GANTRY_TESTBED"];
  const bed = dir === undefined || dir === "" ? await Testbed.up() : Testbed.open(dir);
  await bed.base("busybox");
  return bed;
}
