import { fail } from "@gantry/contracts";

/** What a user asks of the node, as classic Swarm's `-e constraint:KEY==VALUE`. */
export interface Constraint {
  /** `node` (ID or host name), or a label of nodes; Swarm's `node.id`, `node.hostname` and `node.labels.x` mean the same. */
  readonly key: string;
  readonly equal: boolean;
  /** `~`: a node that breaks it is only the second choice. */
  readonly soft: boolean;
  /** May have `*`, for any text. */
  readonly value: string;
}

const PREFIX = "constraint:";
const FORM = /^\s*([\w./-]{1,128})\s*(==|!=)(~?)\s*([\w.:/*@+-]{0,255})\s*$/;
/** Label of a container that names its node. */
const NODE_LABEL = "gantry.node";

export function formatConstraint({ key, equal, soft, value }: Constraint): string {
  return `${key}${equal ? "==" : "!="}${soft ? "~" : ""}${value}`;
}

/** Takes the constraints out of a container's environment, and reads the label `gantry.node`. INVALID for one that cannot be read. */
export function readConstraints(env: readonly string[], labels: Readonly<Record<string, string>>): { constraints: Constraint[]; env: string[] } {
  const given = env.filter((line) => line.startsWith(PREFIX));
  const node = labels[NODE_LABEL];
  const constraints = given.map((line) => parse(line.slice(PREFIX.length)));
  if (node !== undefined && node !== "") constraints.push(parse(`node==${node}`));
  return { constraints, env: env.filter((line) => !line.startsWith(PREFIX)) };
}

function parse(text: string): Constraint {
  const [, key, operator, soft, value] = FORM.exec(text) ?? [];
  if (key === undefined || operator === undefined || value === undefined) throw fail("INVALID", `constraint ${JSON.stringify(text)} is not KEY==VALUE or KEY!=VALUE`);
  return { key, equal: operator === "==", soft: soft === "~", value };
}

/** Whether a node is what the constraint asks for. A label that a node does not have equals nothing. */
export function satisfies(node: { readonly nodeId: string; readonly hostname: string; readonly labels: Readonly<Record<string, string>> }, { key, equal, value }: Constraint): boolean {
  const matches = valuesOf(node, key).some((text) => matchesPattern(text, value));
  return equal ? matches : !matches;
}

function valuesOf(node: Parameters<typeof satisfies>[0], key: string): string[] {
  if (key === "node") return [node.nodeId, node.hostname];
  if (key === "node.id") return [node.nodeId];
  if (key === "node.hostname") return [node.hostname];
  const label = key.startsWith("node.labels.") ? key.slice("node.labels.".length) : key;
  return Object.hasOwn(node.labels, label) ? [node.labels[label]!] : [];
}

/** `*` stands for any text; linear in the length of both. */
function matchesPattern(text: string, pattern: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return text === pattern;
  if (!text.startsWith(first)) return false;
  const last = rest.pop()!;
  let at = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
