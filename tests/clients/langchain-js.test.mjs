// LangChain for JavaScript.

import { contract } from "../support/clients.mjs";
import { langchainAdapter } from "./langchain-adapter.mjs";

contract("LangChain for JavaScript", {
  adapter: langchainAdapter,
  names: { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" },
  lists: false,
});
