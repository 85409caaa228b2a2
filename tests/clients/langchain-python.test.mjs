// LangChain for Python.

import { contract, pythonAdapter } from "../support/clients.mjs";

contract("LangChain for Python", {
  adapter: pythonAdapter("langchain_python"),
  names: {
    401: "OpenAIAuthenticationError",
    404: "OpenAIModelNotFoundError",
    429: "OpenAIRateLimitError",
  },
  lists: false,
});
