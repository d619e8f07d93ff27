import { isGantryError } from "@gantry/kernel";

/** Where the HTTP API and the dashboard are when nobody said; the ports after it where it is taken. */
export const DEFAULT_HTTP = { host: "127.0.0.1", port: 2385 };
const TRIES = 20;

/** The addresses of `--listen` or GANTRY_LISTEN, apart from each other by commas; null: the default; empty: `none`. */
export function listenAddresses(text: string | undefined): string[] | null {
  if (text === undefined || text.trim() === "") return null;
  const addresses = text.split(",").map((address) => address.trim()).filter((address) => address !== "");
  return addresses.length === 1 && addresses[0] === "none" ? [] : addresses;
}

/** Listens on the first port from the default on that no other server has. Answers the address as it is bound. */
export async function listenOnFree(listen: (address: string) => Promise<string>): Promise<string> {
  const { host, port } = DEFAULT_HTTP;
  for (let at = port; at < port + TRIES; at++) {
    try {
      return await listen(`http://${host}:${at}`);
    } catch (error) {
      if (!isGantryError(error, "CONFLICT")) throw error;
    }
  }
  return await listen(`http://${host}:0`);
}

/** What to open in a browser: a server that listens on every address is reached by the host's name. */
export function dashboardUrl(address: string, token: string, hostname: string): string {
  return `${address.replace(/\/\/(?:0\.0\.0\.0|\[::\])(?=:)/, `//${hostname}`)}/?token=${token}`;
}
