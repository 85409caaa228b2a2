// Makes a certificate for localhost that no public authority has signed.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

const KIND = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(" ");
const NAMES = [
  "-subj",
  "/CN=localhost",
  "-addext",
  "subjectAltName=DNS:localhost",
  "-addext",
  "basicConstraints=critical,CA:FALSE",
];

/** Writes a key and its certificate into a folder: `{ key, cert }`, their paths. */
export function makeCertificate(folder) {
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(folder, name));
  execFileSync("openssl", ["req", ...KIND, ...NAMES, "-keyout", key, "-out", cert], {
    stdio: "ignore",
  });
  return { key, cert };
}
