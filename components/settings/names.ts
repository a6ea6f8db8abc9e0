import { isIPv6 } from "node:net";
import { z } from "zod";

/** A DNS name of at least two labels, lower case, no trailing dot (RFC 1035 §2.3.1, RFC 1123 §2.1). */
const DNS_NAME = /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$/;
export const dnsName = z
    .string("a DNS name in quotes")
    .regex(DNS_NAME, "a DNS name such as mail.example.com: lower case, no scheme, no trailing dot");

/** The one form of an IPv6 address that DNS tools print (RFC 5952); other text stays as it is. */
export const canonical = (address: string): string => (isIPv6(address) ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address);
