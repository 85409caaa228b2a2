// openai-python, with the Responses API.

import { contract, pythonAdapter } from "../support/clients.mjs";

contract("openai-python, responses", {
  adapter: pythonAdapter("openai_python_responses"),
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
});
