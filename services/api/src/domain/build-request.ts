import { type BuildSpec, fail } from "@gantry/contracts";
import { parseReference } from "@gantry/oci";
import { type Static, Type as T } from "typebox";

const Text = (maxLength: number, description: string) => T.Optional(T.String({ maxLength, description }));
const Flag = (description: string) => T.Optional(T.Boolean({ description }));
const Amount = (description: string) => T.Optional(T.Integer({ minimum: 0, description }));
const Texts = (maxItems: number, description: string) => T.Optional(T.Array(T.String({ maxLength: 4096 }), { maxItems, description }));

/** What is said the same way in a body and in a query. */
const common = {
  dockerfile: Text(4096, "path of the Dockerfile within the context; default: Dockerfile"),
  target: Text(1024, "stage to build; default: the last one"),
  noCache: Flag("build every step anew"),
  pull: Flag("ask the registries for newer base images"),
  push: Flag("push each tag to its registry when the image is made; a push that fails fails the build"),
  platform: Text(128, "os/architecture[/variant]"),
  cacheFrom: Texts(64, "images whose steps may be taken"),
  networkMode: Text(256, "network of RUN steps: default, host, none, or a network's name; host needs the role admin"),
  memory: Amount("bytes of memory of a RUN step; 0: no limit"),
  cpuShares: Amount("CPU shares of a RUN step; 0: default"),
  shmSize: Amount("bytes of /dev/shm of a RUN step; 0: default"),
};

/** `POST /v1/builds` with JSON. */
export const BuildBody = T.Object({
  context: T.Optional(T.Union([T.Object({ digest: T.String({ pattern: "^sha256:[0-9a-f]{64}$" }) }), T.Null()], { description: "tar that was stored by POST /v1/blobs; null: none" })),
  dockerfileText: Text(1024 * 1024, "the Dockerfile itself, in place of one in the context"),
  ...common,
  tags: Texts(64, "names for the image"),
  buildArgs: T.Optional(T.Record(T.String(), T.Union([T.String(), T.Null()]))),
  labels: T.Optional(T.Record(T.String(), T.String())),
  extraHosts: Texts(256, "name:address"),
  auth: T.Optional(T.Record(T.String(), T.Record(T.String(), T.String()), { description: "credentials by registry, as in Docker's X-Registry-Config; kept until the build ends" })),
}, { additionalProperties: false, description: "a build" });
export type BuildBody = Static<typeof BuildBody>;

/** `POST /v1/builds` with the context as its body. */
export const BuildQuery = T.Object({
  ...common,
  tag: Texts(64, "a name for the image; may be given several times"),
  buildArg: Texts(1024, "NAME=value"),
  label: Texts(1024, "NAME=value"),
  extraHost: Texts(256, "name:address"),
});
export type BuildQuery = Static<typeof BuildQuery>;

/** The spec of a build, but for its context. INVALID for names that cannot be tags. */
export function specOf(body: Omit<BuildBody, "context">): Omit<BuildSpec, "context"> {
  const { tags = [], dockerfile = "", dockerfileText = null } = body;
  for (const tag of tags) if (parseReference(tag).digest !== null) throw fail("INVALID", `${tag} cannot be a tag: it contains a digest`);
  if (dockerfileText !== null && dockerfile !== "") throw fail("INVALID", "give dockerfile or dockerfileText, not both");
  return {
    dockerfile: dockerfile || "Dockerfile", dockerfileText, tags, buildArgs: body.buildArgs ?? {}, labels: body.labels ?? {}, target: body.target ?? "",
    noCache: body.noCache ?? false, pull: body.pull ?? false, push: body.push ?? false, rm: true, forceRm: true, quiet: false, cacheFrom: body.cacheFrom ?? [],
    networkMode: body.networkMode || "default", extraHosts: body.extraHosts ?? [], memory: body.memory ?? 0, cpuShares: body.cpuShares ?? 0, shmSize: body.shmSize ?? 0,
    squash: false, platform: body.platform ?? "", auth: body.auth ?? {},
  };
}

export function bodyOfQuery({ tag, buildArg, label, extraHost, ...rest }: BuildQuery): Omit<BuildBody, "context"> {
  return { ...rest, ...(tag && { tags: tag }), ...(extraHost && { extraHosts: extraHost }), ...(buildArg && { buildArgs: pairs(buildArg, "buildArg") }), ...(label && { labels: pairs(label, "label") }) };
}

function pairs(texts: readonly string[], name: string): Record<string, string> {
  return Object.fromEntries(texts.map((text) => {
    const at = text.indexOf("=");
    if (at <= 0) throw fail("INVALID", `query parameter ${name} must be NAME=value, not ${JSON.stringify(text.slice(0, 64))}`);
    return [text.slice(0, at), text.slice(at + 1)];
  }));
}
