// Tests that openai-node works as a client.

import { contract } from "../support/clients.mjs";
import { openaiAdapter } from "./openai-adapter.mjs";

contract("openai-node", {
  adapter: openaiAdapter,
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
});
