// openai-node, with the Responses API.

import { contract } from "../support/clients.mjs";
import { responsesAdapter } from "./openai-responses-adapter.mjs";

contract("openai-node, responses", {
  adapter: responsesAdapter,
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
});
