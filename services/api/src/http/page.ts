import type { FastifyReply } from "fastify";

const HEADERS = {
  "content-type": "text/html; charset=utf-8", "cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
};

/** A page with a few lines of text. `refresh`: it loads itself again at once. */
export function page(reply: FastifyReply, status: number, { title, lines, refresh }: { title: string; lines: readonly string[]; refresh: boolean }): FastifyReply {
  const text = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>${refresh ? '<meta http-equiv="refresh" content="0">' : ""}
<style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em }</style></head>
<body><h1>${escape(title)}</h1>
${lines.map((line) => `<p>${escape(line)}</p>`).join("\n")}
</body></html>
`;
  return reply.code(status).headers(HEADERS).send(Buffer.from(text));
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
