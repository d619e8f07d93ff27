// A web service that passes each request on to the pinger and shows both names.
const http = require("node:http");
const { hostname } = require("node:os");

const port = Number(process.env.PORT ?? 8894);
const target = process.env.PINGER ?? "http://pinger:8893/";

const server = http.createServer((request, response) => {
  if (request.url === "/health") return void response.end("ok\n");
  const relayed = http.get(target, (answer) => {
    response.writeHead(answer.statusCode ?? 502, { "content-type": "text/plain; charset=utf-8" });
    response.write(`relayed by ${hostname()}: `);
    answer.pipe(response);
  });
  relayed.setTimeout(5000, () => relayed.destroy(new Error("the pinger does not answer")));
  relayed.on("error", (error) => {
    if (!response.headersSent) response.writeHead(502, { "content-type": "text/plain; charset=utf-8" });
    response.end(`no answer from ${target}: ${error.message}\n`);
  });
});

server.listen(port, () => console.log(`pingrelay listens on port ${port}, relays to ${target}`));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => server.close(() => process.exit(0)));
