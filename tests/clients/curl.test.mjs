// Tests that curl works as a client.

import { contract } from "../support/clients.mjs";
import { curlAdapter } from "./curl-adapter.mjs";

contract("curl", {
  adapter: curlAdapter,
  names: { 401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded" },
});
