// openai-python, plain and asynchronous.

import { contract, pythonAdapter } from "../support/clients.mjs";

const names = { 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError" };

contract("openai-python", { adapter: pythonAdapter("openai_python"), names });
contract("openai-python, asynchronous", { adapter: pythonAdapter("openai_python_async"), names });
