#!/usr/bin/env node
// The program `clawfront` of the npm package. The check of the machine comes first, because an old
// Node cannot read the other files.

"use strict";

require("../scripts/machine.cjs");
import("./command.mjs");
