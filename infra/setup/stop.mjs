/** Says what is wrong and what to do, and ends. */
export function stop(message) {
  console.error(`gantry: ${message}`);
  process.exit(1);
}
