// WebAssembly instructions of core's work, counted: the only figures here that are the same on
// every machine.

import { measureInstructions } from "./instructions/instructions.mjs";

export const name = "instructions";

export const measure = () => measureInstructions();
