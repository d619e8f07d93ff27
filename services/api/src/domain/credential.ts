export type Credential = { readonly by: "token" | "session"; readonly text: string };

/** Sessions of two servers on one machine do not meet: cookies do not tell ports apart, so their names do. */
export function cookieName(port: number): string {
  return `gantry_${port}`;
}

/** What a request brings to log in with: `Authorization: Bearer …`, else the session's cookie. An `Authorization` of another scheme is a bad token. */
export function credentialOf(headers: { readonly authorization?: string | undefined; readonly cookie?: string | undefined }, port: number): Credential | null {
  const { authorization, cookie } = headers;
  if (authorization !== undefined) return { by: "token", text: /^bearer +([^ ]+) *$/i.exec(authorization)?.[1] ?? "" };
  const name = cookieName(port);
  for (const pair of (cookie ?? "").split(";")) {
    const [key, value] = pair.split("=", 2);
    if (key?.trim() === name) return { by: "session", text: value?.trim() ?? "" };
  }
  return null;
}

/** The value of `Set-Cookie` for a session that ends after `seconds`; 0 ends it now. */
export function sessionCookie(port: number, text: string, options: { seconds: number; secure: boolean }): string {
  return `${cookieName(port)}=${text}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${Math.max(0, Math.floor(options.seconds))}${options.secure ? "; Secure" : ""}`;
}
