// Decides who can reach an address that a server listens at.

import { BlockList, isIP } from "node:net";
import { Failure } from "../scripts/steps.mjs";

/** Networks that the internet does not reach, for each reach of an address. */
const NETWORKS = {
  machine: [
    ["127.0.0.0", 8, "ipv4"],
    ["::1", 128, "ipv6"],
  ],
  network: [
    ["10.0.0.0", 8, "ipv4"],
    ["172.16.0.0", 12, "ipv4"],
    ["192.168.0.0", 16, "ipv4"],
    ["169.254.0.0", 16, "ipv4"],
    // Shared address space: Tailscale gives such addresses.
    ["100.64.0.0", 10, "ipv4"],
    ["fc00::", 7, "ipv6"],
    ["fe80::", 10, "ipv6"],
  ],
};

const LISTS = Object.entries(NETWORKS).map(([reach, networks]) => {
  const list = new BlockList();
  for (const network of networks) list.addSubnet(...network);
  return [reach, list];
});

/**
 * Returns who reaches the address: this `machine`, its `network`, or `all`. The addresses that
 * stand for every interface are `all`.
 */
export function reachOf(host) {
  if (host === "localhost") return "machine";
  const version = isIP(host);
  if (version === 0)
    throw new Failure(`--host ${host} is not an address.`, {
      fix: "use an IP address of this machine, or localhost.",
    });
  const family = version === 4 ? "ipv4" : "ipv6";
  return LISTS.find(([, list]) => list.check(host, family))?.[0] ?? "all";
}

/** Returns host and port as one text. */
export const joined = (host, port) => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
