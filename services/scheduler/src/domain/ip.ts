import { subnetsOverlap } from "@gantry/network";

/** Whether it is an address of that kind, without a prefix length. */
export const isIPv4 = (text: string) => !text.includes(":") && !text.includes("/") && isAddress(`${text}/32`);
export const isIPv6 = (text: string) => text.includes(":") && !text.includes("/") && isAddress(`${text}/128`);

/** What is no subnet overlaps nothing, not even itself. */
const isAddress = (subnet: string) => subnetsOverlap(subnet, subnet);
