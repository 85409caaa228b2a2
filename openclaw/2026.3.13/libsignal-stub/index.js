"use strict";

// OpenClaw 2026.3.13 depends on a WhatsApp library that depends on libsignal from git. Channels are
// switched off here, so loading must succeed and any use would be a mistake worth seeing.
module.exports = new Proxy(
  {},
  {
    get(_target, name) {
      if (typeof name === "symbol" || name === "__esModule" || name === "default") return undefined;
      return function unavailable() {
        throw new Error(`libsignal is a stub in this installation (${name} was used)`);
      };
    },
  },
);
