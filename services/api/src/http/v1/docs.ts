import { ERROR_STATUS } from "@gantry/contracts";
import { PROBLEMS_PATH } from "./problem.ts";
import type { V1App } from "./types.ts";

const rows = (): string => Object.entries(ERROR_STATUS).map(([code, status]) => `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td></tr>`).join("\n");

/** What a problem document's `type` refers to. */
export function docsRoutes(app: V1App): void {
  app.get(PROBLEMS_PATH, { schema: { hide: true } }, (_request, reply) => reply.type("text/html; charset=utf-8").send(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gantry: problems</title></head>
<body><h1>Problems</h1><p>Codes of problem documents, and the status each comes with. The document's <code>detail</code> says what was wrong.</p>
<table><tr><th>code</th><th>status</th></tr>
${rows()}
</table></body></html>
`));
}
