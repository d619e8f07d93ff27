import packet from "dns-packet";
import { formatIp } from "../ip.ts";
import type { Zone } from "./zone.ts";

/** Seconds; Docker's. */
const TTL = 600;
/** RFC 1035: what fits in a datagram without EDNS. */
const PLAIN_UDP_SIZE = 512;
const MAX_UDP_SIZE = 4096;

/** RCODEs, RFC 1035 section 4.1.1. */
export const RCODE = { formatError: 1, serverFailure: 2, notImplemented: 4 } as const;

export interface Question { id: number; name: string; type: string; udpSize: number; packet: packet.DecodedPacket }

/** The one question of a query; null for what is no query with exactly one question. Never throws. */
export function readQuery(bytes: Buffer): Question | null {
  try {
    const decoded = packet.decode(bytes);
    const question = decoded.questions?.[0];
    if (decoded.type !== "query" || decoded.questions?.length !== 1 || question === undefined || (question.class ?? "IN") !== "IN") return null;
    const edns = decoded.additionals?.find((a) => a.type === "OPT");
    const size = edns?.type === "OPT" ? edns.udpPayloadSize : PLAIN_UDP_SIZE;
    return {
      id: decoded.id ?? 0, name: question.name, type: question.type, packet: decoded,
      udpSize: Math.min(Math.max(size, PLAIN_UDP_SIZE), MAX_UDP_SIZE),
    };
  } catch {
    return null;
  }
}

/**
 * The answer where the zone knows the name: A, AAAA and PTR; for a known name any other type is an empty NOERROR.
 * Null: not ours, ask elsewhere. `udp`: truncated (TC) to what the asker takes.
 */
export function answerLocally(zone: Zone, containerId: string, question: Question, udp: boolean): Buffer | null {
  const answers = localAnswers(zone, containerId, question);
  if (answers === null) return null;
  const whole = encode(question, answers, 0);
  if (!udp || whole.length <= question.udpSize) return whole;
  let fitting = answers.length;
  let cut = whole;
  while (fitting > 0 && cut.length > question.udpSize) {
    fitting = Math.floor(fitting / 2);
    cut = encode(question, answers.slice(0, fitting), packet.TRUNCATED_RESPONSE);
  }
  return cut;
}

/** An answer without records, with an RCODE. The question is repeated: glibc takes no answer, not even SERVFAIL, without. */
export function refuse(question: Question, rcode: number): Buffer {
  return packet.encode({
    type: "response",
    id: question.id,
    flags: rcode | packet.RECURSION_AVAILABLE | ((question.packet.flags ?? 0) & packet.RECURSION_DESIRED),
    questions: question.packet.questions ?? [],
  });
}

/** The same to a query that could not be read; null to what is no query at all. */
export function refuseUnread(bytes: Buffer, rcode: number): Buffer | null {
  if (bytes.length < 12 || (bytes[2]! & 0x80) !== 0) return null;
  const head = Buffer.alloc(12);
  bytes.copy(head, 0, 0, 2);
  // QR, the asker's opcode and RD, RA.
  head.writeUInt16BE(0x8000 | (bytes.readUInt16BE(2) & 0x7900) | 0x0080 | rcode, 2);
  return head;
}

function localAnswers(zone: Zone, containerId: string, question: Question): packet.Answer[] | null {
  const name = question.name;
  if (question.type === "PTR") {
    const address = reverseAddress(name);
    const host = address === null ? null : zone.reverse(containerId, address);
    return host === null ? null : [{ type: "PTR", name, ttl: TTL, data: host }];
  }
  const found = zone.resolve(containerId, name.replace(/\.$/, ""));
  if (found === null) return null;
  if (question.type === "A") return found.ip.map((data) => ({ type: "A", name, ttl: TTL, data }));
  if (question.type === "AAAA") return found.ip6.map((data) => ({ type: "AAAA", name, ttl: TTL, data }));
  return [];
}

function encode(question: Question, answers: packet.Answer[], flags: number): Buffer {
  const edns = question.packet.additionals?.some((a) => a.type === "OPT") === true;
  return packet.encode({
    type: "response",
    id: question.id,
    flags: flags | packet.RECURSION_AVAILABLE | ((question.packet.flags ?? 0) & packet.RECURSION_DESIRED),
    questions: question.packet.questions ?? [],
    answers,
    additionals: edns ? [{ type: "OPT", name: ".", udpPayloadSize: MAX_UDP_SIZE, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] }] : [],
  });
}

/** `2.0.17.172.in-addr.arpa` → 172.17.0.2, likewise ip6.arpa; null for other names. */
export function reverseAddress(name: string): string | null {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa\.?$/i.exec(name);
  if (v4 !== null) return `${v4[4]}.${v4[3]}.${v4[2]}.${v4[1]}`;
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa\.?$/i.exec(name);
  if (v6 === null) return null;
  return formatIp({ bits: 128, value: BigInt(`0x${v6[1]!.replaceAll(".", "").split("").reverse().join("")}`) });
}
