import { Environment as apiEnvironment } from "@gantry/api/environment";
import { Environment as buildEnvironment } from "@gantry/build/environment";
import { TlsConfig } from "@gantry/http";
import { Environment as imageStoreEnvironment } from "@gantry/image-store/environment";
import { variableName } from "@gantry/kernel";
import { Environment as nodeAgentEnvironment } from "@gantry/node-agent/environment";
import { Environment as schedulerEnvironment } from "@gantry/scheduler/environment";
import { LOG_LEVELS } from "@gantry/telemetry";
import type { TObject, TSchema } from "typebox";

/** One environment variable, as the reference shows it. */
export interface Variable {
  readonly name: string;
  /** `string`, `integer`, `list`, `a=1,b=2`, or the words it may be. */
  readonly type: string;
  /** What it is where nothing is given; null: it must be given; "": nothing. */
  readonly default: string | null;
  readonly description: string;
}

export interface Section {
  readonly title: string;
  /** Of whom: a service, `gantry up`, the client. */
  readonly about: string;
  readonly variables: readonly Variable[];
}

/** Every variable that a Gantry process reads, by who reads it. */
export function sections(): Section[] {
  return [
    { title: "Every service", about: "What each of the five services reads, and `gantry up`.", variables: COMMON },
    {
      title: "Certificates between services", about: "api, image-store, build and node-agent: who they are to each other. The scheduler speaks over the bus only.",
      variables: variablesOf(TlsConfig),
    },
    { title: "api", about: "`gantry api`: the Docker Engine API, `/v1` and the dashboard.", variables: variablesOf(apiEnvironment) },
    { title: "scheduler", about: "`gantry scheduler`: start two or more; one acts.", variables: variablesOf(schedulerEnvironment) },
    { title: "image-store", about: "`gantry image-store`.", variables: variablesOf(imageStoreEnvironment) },
    { title: "build", about: "`gantry build`: a build worker.", variables: variablesOf(buildEnvironment) },
    { title: "node-agent", about: "`gantry node-agent`: one on every host that takes containers.", variables: variablesOf(nodeAgentEnvironment) },
    { title: "gantry up", about: "Every service in one process (`npm start`). Options of the command come first. The API's `GANTRY_API_…` above count here too.", variables: ONE_PROCESS },
    { title: "The client", about: "`gantry run`, `gantry builds` and all else that talks to an engine.", variables: CLIENT },
  ];
}

const COMMON: readonly Variable[] = [
  { name: "GANTRY_LOG_LEVEL", type: words(LOG_LEVELS), default: "info; of gantry up: warn", description: "what is logged, as JSON lines on standard error" },
  { name: "GANTRY_METRICS_LISTEN", type: "string", default: "", description: "unix:/path or a port of loopback, as 127.0.0.1:9464, where this process shows its metrics to Prometheus without a login; api, image-store, build and node-agent also have them at /metrics of their own addresses" },
  { name: "OTEL_EXPORTER_OTLP_ENDPOINT", type: "string", default: "", description: "base URL of an OpenTelemetry collector (OTLP over HTTP); with it traces and metrics are sent. The other OTEL_* variables are those of the OpenTelemetry specification" },
  { name: "GANTRY_FAILPOINTS", type: "string", default: "", description: "makes faults at named places, for tests: name=plan;name=plan" },
];

const ONE_PROCESS: readonly Variable[] = [
  { name: "GANTRY_STATE_DIR", type: "string", default: ".gantry of the checkout; of a release: /var/lib/gantry", description: "where everything is kept" },
  { name: "GANTRY_SOCKET", type: "string", default: "run/docker.sock of the state directory", description: "socket of the Docker API" },
  { name: "GANTRY_LISTEN", type: "list", default: "127.0.0.1:2385, or the next free port", description: "TCP addresses of API and dashboard: host:port or https://host:port; none: no TCP" },
  { name: "GANTRY_BASE_CACHE", type: "string", default: ".tools/base of the checkout", description: "where `gantry base` keeps the layers of base images" },
];

const CLIENT: readonly Variable[] = [
  { name: "DOCKER_HOST", type: "string", default: "the socket of the default state directory", description: "the engine to talk to: unix:///path or tcp://host:port" },
  { name: "GANTRY_TOKEN", type: "string", default: "", description: "token for an engine at a TCP address" },
  { name: "DOCKER_TLS_VERIFY", type: "string", default: "", description: "anything: TLS, with the certificates in DOCKER_CERT_PATH" },
  { name: "DOCKER_CERT_PATH", type: "string", default: "~/.docker", description: "directory of ca.pem, cert.pem and key.pem" },
  { name: "GANTRY_DEBUG", type: "string", default: "", description: "anything: an unexpected error is shown with its stack" },
];

/** The variables of a flat schema, as `configFromEnv` reads them. */
export function variablesOf(schema: TObject): Variable[] {
  const required: readonly string[] = schema.required ?? [];
  return (Object.entries(schema.properties) as [string, TSchema & Record<string, unknown>][]).map(([property, field]) => ({
    name: variableName(property),
    type: typeOf(field),
    default: "default" in field ? textOf(field["default"]) : required.includes(property) ? null : "",
    description: String(field["description"] ?? ""),
  }));
}

function typeOf(field: Record<string, unknown>): string {
  const choices = field["anyOf"] as readonly { const?: unknown }[] | undefined;
  if (choices !== undefined) return words(choices.map((choice) => String(choice.const)));
  const { minimum, maximum, pattern } = field as { minimum?: number; maximum?: number; pattern?: string };
  switch (field["type"]) {
    case "array": return "list";
    case "object": return "`a=1,b=2`";
    case "integer":
    case "number": return minimum === undefined ? `${field["type"]}` : maximum === undefined ? `${field["type"]} ≥ ${minimum}` : `${field["type"]} ${minimum}–${maximum}`;
    default: return pattern === undefined ? String(field["type"]) : `string \`${pattern}\``;
  }
}

function words(all: readonly string[]): string {
  return all.map((word) => `\`${word}\``).join(" ");
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "object" && value !== null) return Object.entries(value).map(([key, item]) => `${key}=${String(item)}`).join(",");
  return String(value);
}
