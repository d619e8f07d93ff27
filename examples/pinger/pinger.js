// A web service that answers with the time and how often it was asked.
const http = require("node:http");
const { hostname } = require("node:os");

const port = Number(process.env.PORT ?? 8893);
let pings = 0;

const server = http.createServer((request, response) => {
  if (request.url === "/health") return void response.end("ok\n");
  pings += 1;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`pong ${pings} from ${hostname()} at ${new Date().toISOString()}\n`);
});

server.listen(port, () => console.log(`pinger listens on port ${port}`));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => server.close(() => process.exit(0)));
