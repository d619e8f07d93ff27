import type { Labels, MetricDefinition } from "./definition.ts";

const counter = <const L extends Labels>(name: string, unit: string, description: string, labels: L): MetricDefinition<"counter", L> =>
  ({ kind: "counter", name, unit, description, labels });
const gauge = <const L extends Labels>(name: string, unit: string, description: string, labels: L): MetricDefinition<"gauge", L> =>
  ({ kind: "gauge", name, unit, description, labels });
const observed = <const L extends Labels>(name: string, unit: string, description: string, labels: L): MetricDefinition<"observed counter", L> =>
  ({ kind: "observed counter", name, unit, description, labels });
const seconds = <const L extends Labels>(name: string, description: string, buckets: readonly number[], labels: L): MetricDefinition<"histogram", L> =>
  ({ kind: "histogram", name, unit: "s", description, labels, buckets });

/** From a message within a process to a slow request. */
const QUICK = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** From a cached build to one of an hour. */
const LONG = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600];

const SERVICE = ["api", "build", "image-store", "node-agent", "scheduler"] as const;
const OK_OR_FAILED = ["ok", "failed"] as const;
const CONTAINER_STATES = ["created", "running", "paused", "restarting", "removing", "exited", "dead"] as const;
const MESSAGE = {
  "messaging.system": ["rabbitmq", "gantry.local"],
  "messaging.operation.name": ["send", "process"],
  "messaging.destination.name": "the queue without the namespace; all nodes' queues are `node.{id}`",
  "gantry.message.name": "the message's contract",
  "error.type": "the error's code; absent on success",
} as const;

/**
 * Every metric of every service: the only place where names, units and labels are given.
 */
export const metric = {
  httpRequests: seconds("http.server.request.duration", "Requests served, from head to the end of the answer (streams included)", QUICK, {
    service: SERVICE,
    "http.request.method": "the method",
    "http.route": "the route's pattern",
    "http.response.status_code": "the status; 101 of a raw stream",
  }),

  messagesSent: counter("messaging.client.sent.messages", "{message}", "Messages sent", MESSAGE),
  messagesConsumed: counter("messaging.client.consumed.messages", "{message}", "Messages handled", MESSAGE),
  messageSendDuration: seconds("messaging.client.operation.duration", "From sending until the broker has it, or the reply is there", QUICK, MESSAGE),
  messageProcessDuration: seconds("messaging.process.duration", "Handling of a message", QUICK, MESSAGE),
  deadLetters: counter("gantry.bus.dead_letters", "{message}", "Messages moved to the dead letters", {
    "messaging.destination.name": MESSAGE["messaging.destination.name"], "gantry.message.name": MESSAGE["gantry.message.name"], "error.type": "the error's code",
  }),
  outboxBacklog: gauge("gantry.outbox.messages", "{message}", "Messages committed and not sent yet; `failed`: never to be sent", { service: "the service whose database it is", state: ["waiting", "failed"] }),

  builds: counter("gantry.builds", "{build}", "Build jobs that ended on this worker; `lost`: taken over by another one", { result: ["succeeded", "failed", "cancelled", "lost", "released"] }),
  buildDuration: seconds("gantry.build.duration", "From the claim to the end of a build job", LONG, { result: ["succeeded", "failed", "cancelled", "lost", "released"] }),
  buildQueueWait: seconds("gantry.build.queue_wait", "From the submission (or the last release) of a build job to its claim", LONG, {}),
  buildsRunning: gauge("gantry.builds.running", "{build}", "Build jobs this worker is at", {}),
  buildsQueued: gauge("gantry.builds.queued", "{build}", "Build jobs that wait for a worker, as the database has it", {}),
  buildSteps: counter("gantry.build.steps", "{step}", "Build steps", { instruction: "Dockerfile's word", outcome: ["cached", "run", "failed"] }),
  buildStepDuration: seconds("gantry.build.step.duration", "Steps that were not in the cache", LONG, { instruction: "Dockerfile's word" }),

  placements: counter("gantry.scheduler.placements", "{container}", "Containers placed, or not", { outcome: ["placed", "no node"] }),
  rejections: counter("gantry.scheduler.rejections", "{node}", "Nodes that a filter ruled out for a container", { filter: "the filter's name" }),
  schedulerLeader: gauge("gantry.scheduler.leader", "", "1 where this scheduler is the active one", {}),
  schedulerEpoch: gauge("gantry.scheduler.epoch", "{epoch}", "The epoch this scheduler last had", {}),
  nodes: gauge("gantry.scheduler.nodes", "{node}", "Nodes, as the active scheduler sees them", { state: ["ready", "unreachable"] }),

  containers: gauge("gantry.containers", "{container}", "Containers on this node", { state: CONTAINER_STATES }),
  containerStarts: seconds("gantry.container.start.duration", "Starts of containers on this node, until the program executes", QUICK, { outcome: OK_OR_FAILED }),
  containerExits: counter("gantry.container.exits", "{container}", "Containers that ended on this node", { reason: ["success", "error", "signal", "oom"] }),
  layersFetched: counter("gantry.layers.fetched", "{layer}", "Layers unpacked on this host", { outcome: OK_OR_FAILED }),
  layerBytes: counter("gantry.layers.fetched.size", "By", "Bytes of layers read to unpack them on this host", {}),

  blobBytes: counter("gantry.image_store.blob.io", "By", "Bytes of blobs stored, and sent over HTTP", { direction: ["in", "out"] }),
  images: gauge("gantry.image_store.images", "{image}", "Images, intermediate ones included", {}),
  layers: gauge("gantry.image_store.layers", "{layer}", "Layers that images need", {}),
  layerSize: gauge("gantry.image_store.layers.size", "By", "Bytes of these layers' blobs", {}),
  cacheLookups: counter("gantry.digest_cache.lookups", "{lookup}", "Keys looked up in the digest cache", { outcome: ["hit", "miss"] }),

  processCpu: observed("process.cpu.time", "s", "CPU time of the process", { "cpu.mode": ["user", "system"] }),
  processMemory: gauge("process.memory.usage", "By", "Resident memory of the process", {}),
  processUptime: gauge("process.uptime", "s", "Since the process began", {}),
  openFiles: gauge("process.open_file_descriptor.count", "{file_descriptor}", "Open file descriptors of the process", {}),
  heapUsed: gauge("v8js.memory.heap.used", "By", "JavaScript heap in use", {}),
  eventLoopDelay: gauge("nodejs.eventloop.delay", "s", "How late the event loop was, since the last reading", { quantile: ["0.5", "0.9", "0.99", "1"] }),
  eventLoopUtilization: gauge("nodejs.eventloop.utilization", "1", "Share of time in which the event loop was busy, since the last reading", {}),
} as const;
