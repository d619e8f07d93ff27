import type { Section, Variable } from "./variables.ts";

/** The configuration reference, docs/configuration.md. */
export function configurationReference(sections: readonly Section[]): string {
  return `${[
    "# Configuration",
    "",
    "Gantry's processes are configured by environment variables. This file is made from the schemas that they are read with: `node services/gantry/src/reference/update.ts`.",
    "",
    "A variable that is unset or empty takes its default; one without a default must be given. Lists are separated by commas. A process that is given something wrong names every fault and ends.",
    ...sections.flatMap(({ title, about, variables }) => ["", `## ${title}`, "", about, "", "| variable | type | default | |", "| --- | --- | --- | --- |", ...variables.map(row)]),
  ].join("\n")}\n`;
}

function row({ name, type, default: value, description }: Variable): string {
  const shown = value === null ? "must be given" : value === "" ? "" : /[ ;]/.test(value) ? value : `\`${value}\``;
  return `| \`${name}\` | ${cell(type)} | ${cell(shown)} | ${cell(description)} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
