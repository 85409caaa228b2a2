// Records what azure-ai-agentserver-responses answers to the script: `node record.mjs <address>`,
// with the address of server.py.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../../scripts/paths.mjs";
import { play } from "./script.mjs";

const [address] = process.argv.slice(2);
const answers = await play(address);
const path = join(ROOT, "tests/recorded/agentserver.json");
writeFileSync(path, `${JSON.stringify(answers, null, 2)}\n`);
