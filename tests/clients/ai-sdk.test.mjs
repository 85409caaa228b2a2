// Vercel's AI SDK.

import { contract } from "../support/clients.mjs";
import { compatibleAdapter, providerAdapter } from "./ai-sdk-adapter.mjs";

const names = { 401: "APICallError", 404: "APICallError", 429: "APICallError" };

contract("AI SDK, @ai-sdk/openai-compatible", { adapter: compatibleAdapter, names, lists: false });
contract("AI SDK, @ai-sdk/openai", { adapter: providerAdapter, names, lists: false });
