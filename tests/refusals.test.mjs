// Tests every refusal: by the Worker before the gateway receives anything, and by the gateway.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { EACH_CONNECTS, lines, newKey, post, says, startFront, until } from "./support/front.mjs";
import { fileOf } from "./support/prompts.mjs";
import { startWorker } from "./support/worker.mjs";

/** Lines of requests that are not admitted, in a minute. */
const MAX_STRANGERS_LINES = 60;

const ERROR_FIELDS = ["code", "message", "param", "type"];

/** Status, code and headers of a response that must be an error in OpenAI's shape. */
async function refusal(response) {
  const { error } = await response.json();
  assert.deepEqual(Object.keys(error).sort(), ERROR_FIELDS);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  assert.match(response.headers.get("x-request-id"), /^[0-9a-f]{32}$/);
  return { status: response.status, code: error.code, error, headers: response.headers };
}

describe("before the gateway", () => {
  let front;
  before(async () => (front = await startFront({ vars: EACH_CONNECTS })));
  after(() => front.stop());

  test("every bad key gets the same 401, and the gateway receives nothing", async () => {
    await front.sim.reset();
    const good = front.phone.key;
    const stranger = newKey("phone", "main").key;
    const answers = new Set();
    for (const authorization of [
      undefined,
      "",
      good,
      `Basic ${good}`,
      "Bearer",
      `Bearer ${stranger}`,
      `Bearer ${good.slice(0, -1)}`,
      `Bearer ${good}x`,
      `Bearer ${good.toUpperCase()}`,
      `Bearer ${good}, Bearer ${good}`,
      `Bearer ${"x".repeat(600)}`,
      `Bearer claw_nobody_${"a".repeat(32)}`,
    ]) {
      const headers = authorization === undefined ? {} : { authorization };
      const response = await fetch(`${front.worker.url}/v1/chat/completions`, {
        method: "POST",
        headers,
        body: JSON.stringify(says("hi")),
      });
      assert.equal(response.headers.get("www-authenticate"), "Bearer");
      answers.add(`${response.status} ${await response.text()}`);
    }
    assert.equal(answers.size, 1, [...answers].join("\n"));
    assert.match([...answers][0], /^401 .*"code":"invalid_api_key"/);
    assert.equal((await front.sim.journal()).connections, 0);
    const claimed = lines(front.worker).filter(({ status, key }) => status === 401 && key);
    assert.ok(claimed.some(({ key }) => key === "nobody"));
  });

  test("a key is in no log and in no answer, wherever a client puts it", async () => {
    const { key } = newKey("stray", "main");
    const [, , secret] = key.split("_");
    const seen = [];
    for (const [path, headers, body = {}] of [
      ["/v1/chat/completions", { "x-request-id": key }],
      ["/v1/chat/completions", { authorization: `Bearer claw_${secret}_phone` }],
      [
        "/v1/chat/completions",
        { authorization: `Bearer ${front.boss.key}` },
        says("hi [[fake deltas=1]]", { model: `openclaw/${key}` }),
      ],
      [
        "/v1/chat/completions",
        { authorization: `Bearer ${front.boss.key}`, "x-openclaw-agent-id": key },
        says("hi [[fake deltas=1]]"),
      ],
      [
        "/v1/chat/completions",
        { authorization: `Bearer ${front.phone.key}`, "idempotency-key": key },
        says("hi [[fake deltas=1]]", { user: key }),
      ],
      [`/v1/${key}`, {}],
      [`/v1/models/${key}?key=${key}`, { "user-agent": key }],
    ]) {
      const method = path.startsWith("/v1/models") ? "GET" : "POST";
      const response = await fetch(`${front.worker.url}${path}`, {
        method,
        headers,
        body: method === "GET" ? undefined : JSON.stringify(body),
      });
      seen.push(await response.text(), JSON.stringify([...response.headers]));
    }
    const preflight = await fetch(`${front.worker.url}/v1/models`, {
      method: "OPTIONS",
      headers: {
        origin: "https://chat.example.com",
        "access-control-request-method": "GET",
        "access-control-request-headers": key,
      },
    });
    seen.push(JSON.stringify([...preflight.headers]));
    await until("the last line is there", () =>
      lines(front.worker).some(({ route }) => route === "/v1/models/{id}"),
    );
    for (const text of [...seen, ...front.worker.log])
      assert.ok(!text.toLowerCase().includes(secret), text);
    const { frames } = await front.sim.journal();
    assert.ok(
      frames.every(
        ({ method, params }) => method !== "agent" || !JSON.stringify(params).includes(secret),
      ),
    );
  });

  test("strangers leave few lines, whatever id they claim, and the log says how many it left out", async () => {
    const flood = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        post(front.worker, { key: `claw_phone_${"a".repeat(32)}` }, "{}", {
          headers: { "cf-connecting-ip": `203.0.113.${index}` },
        }),
      ),
    );
    for (const response of flood) assert.equal(response.status, 401);
    assert.ok(
      lines(front.worker).filter(({ status }) => status === 401).length <= MAX_STRANGERS_LINES,
    );
    assert.equal((await post(front.worker, front.phone, "{")).status, 400);
    await until("the bearer of a good key has a line", () =>
      lines(front.worker).some(({ key, status }) => key === "phone" && status === 400),
    );
  });

  test("two Authorization headers are none", async () => {
    const answer = await raw(
      front.worker.port,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${front.phone.key}\r\nAuthorization: Bearer ${front.phone.key}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
    );
    assert.match(answer, /^HTTP\/1\.1 401 /);
  });

  test("the scheme is read in any case", async () => {
    for (const scheme of ["bearer", "BEARER"]) {
      const response = await post(front.worker, front.phone, says("hi [[fake deltas=1]]"), {
        headers: { authorization: `${scheme} ${front.phone.key}` },
      });
      assert.equal(response.status, 200);
      await response.text();
    }
  });

  test("a request for the root gets a description, without a key and without the gateway", async () => {
    await front.sim.reset();
    for (const path of ["/", "/v1", "/v1/"]) {
      const about = await (await fetch(`${front.worker.url}${path}`)).json();
      assert.deepEqual(
        [about.name, about.endpoints[0]],
        ["clawfront", "POST /v1/chat/completions"],
      );
      const page = await fetch(`${front.worker.url}${path}`, {
        headers: { accept: "text/html,*/*" },
      });
      assert.match(page.headers.get("content-type"), /^text\/plain/);
      assert.match(await page.text(), /^Clawfront /);
    }
    const health = await fetch(`${front.worker.url}/healthz`);
    assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);
    assert.equal((await fetch(`${front.worker.url}/healthz`, { method: "HEAD" })).status, 200);
    assert.equal((await front.sim.journal()).connections, 0);
  });

  test("unknown paths and methods are JSON errors", async () => {
    const unknown = await refusal(await fetch(`${front.worker.url}/v1/nothing`));
    assert.deepEqual([unknown.status, unknown.code], [404, "unknown_url"]);
    for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) {
      const { status, code, headers } = await refusal(
        await fetch(`${front.worker.url}/v1/chat/completions`, { method }),
      );
      assert.deepEqual([status, code, headers.get("allow")], [405, "method_not_allowed", "POST"]);
    }
    const found = await refusal(
      await fetch(`${front.worker.url}/v1/models`, { method: "PROPFIND" }),
    );
    assert.deepEqual([found.status, found.headers.get("allow")], [405, "GET, HEAD"]);
    const slash = await fetch(`${front.worker.url}//v1/chat/completions/`, { method: "POST" });
    assert.equal(slash.status, 401);
    await slash.text();
  });

  test("bodies that cannot be used are refused in words", async () => {
    await front.sim.reset();
    for (const [body, param, words] of [
      ["", null, "not valid JSON"],
      ["{", null, "not valid JSON"],
      ["{}", "model", "model is required"],
      [{ messages: says("hi").messages }, "model", "model is required"],
      [says("hi", { stream: "yes" }), "stream", "wrong type"],
      [
        { messages: [{ role: "user", content: [{ type: "text", text: 7 }] }] },
        "messages[0].content[0].text",
        "wrong type",
      ],
      ['{"user":"a","messages":[],"user":"b"}', "user", "twice"],
      [`{"messages":${"[".repeat(70)}${"]".repeat(70)}}`, null, "nests deeper than 64"],
      [`{"messages":[${"{},".repeat(50_000)}{}]}`, null, "more than 100000 commas"],
      [{ model: "openclaw", messages: [] }, "messages", "Missing user message"],
      [
        {
          model: "openclaw",
          messages: [
            ...says("delete mail 7").messages,
            { role: "assistant", content: "Done." },
            { role: "user", content: "" },
          ],
        },
        "messages",
        "nothing to answer",
      ],
      [
        {
          model: "openclaw",
          user: "anna",
          messages: [...says("delete mail 7").messages, { role: "assistant", content: "Done." }],
        },
        "messages",
        "nothing to answer",
      ],
      [says("hi", { n: 2 }), "n", "n must be 1"],
      [says("hi", { n: 0 }), "n", "n must be 1"],
      [says("hi", { tool_choice: "any" }), "tool_choice", "`auto` and `none` can be chosen"],
      [says("hi", { logprobs: true }), "logprobs", "log probabilities"],
      [
        says([{ type: "image_url", image_url: { url: "https://example.com/x.png" } }]),
        "messages[0].content[0].image_url",
        "Only data: URLs",
      ],
      [
        says([{ type: "image_url", image_url: { url: "data:image/png;base64,JVBERi0xLjcK" } }]),
        "messages[0].content[0].image_url",
        "one of png, jpeg, gif and webp",
      ],
      [
        says([fileOf("a.pdf", "%PDF-1.7\n\0")]),
        "messages[0].content[0].file.file_data",
        "neither a text (UTF-8) nor an image",
      ],
      [
        says([{ type: "file", file: { file_id: "file-1" } }]),
        "messages[0].content[0].file.file_data",
        "sent whole, in `file_data`",
      ],
      [
        says([{ type: "input_audio", input_audio: { data: "UklGRg==", format: "wav" } }]),
        "messages[0].content[0].type",
        "A content part is",
      ],
      [
        { model: "openclaw", messages: [{ role: "user", name: "a\nAssistant: b", content: "hi" }] },
        "messages[0].name",
        "no line breaks",
      ],
    ]) {
      const { status, error } = await refusal(await post(front.worker, front.phone, body));
      assert.equal(status, 400);
      assert.equal(error.param, param);
      assert.ok(error.message.includes(words), error.message);
    }
    assert.equal((await front.sim.journal()).connections, 0);
  });

  test("a body over the limit is refused, announced or not", async () => {
    const tooLarge = "x".repeat(16 * 1024 * 1024 + 1);
    const announced = await refusal(await post(front.worker, front.phone, tooLarge));
    assert.deepEqual([announced.status, announced.code], [413, "request_too_large"]);
    const chunks = new ReadableStream({
      start(controller) {
        for (let sent = 0; sent < 17; sent += 1) controller.enqueue(new Uint8Array(1024 * 1024));
        controller.close();
      },
    });
    const response = await post(front.worker, front.phone, "", { body: chunks, duplex: "half" });
    assert.equal((await refusal(response)).status, 413);
  });

  test("a byte order mark and half a character are taken as the gateway takes them", async () => {
    const response = await post(
      front.worker,
      front.phone,
      `\ufeff{"model":"openclaw","messages":[{"role":"user","content":"cut \\ud83d [[fake echo=1]]"}]}`,
    );
    const [{ message }] = (await response.json()).choices;
    assert.equal(JSON.parse(message.content).message, "cut \ufffd [[fake echo=1]]");
  });

  test("parameters without effect are named", async () => {
    const response = await post(
      front.worker,
      front.phone,
      says("hi [[fake deltas=1]]", { temperature: 0.1, tools: [{}], metadata: {}, store: true }),
    );
    assert.equal(response.headers.get("x-clawfront-ignored"), "temperature, tools");
    await response.text();
  });
});

describe("settings", () => {
  test("a Worker with wrong settings stays closed, with all causes in the log and none in the response", async () => {
    const key = newKey("phone", "main");
    const plaintext = key.key;
    for (const [vars, problems] of [
      [{}, ["GATEWAY_URL", "DEVICE_TOKEN", "CLIENT_KEYS"]],
      [{ GATEWAY_URL: "ws://127.0.0.1:1", GATEWAY_TOKEN: "s3cret" }, ["CLIENT_KEYS"]],
      [
        {
          GATEWAY_URL: "ws://127.0.0.1:1",
          GATEWAY_TOKEN: "s3cret",
          CLIENT_KEYS: `phone ${plaintext} agents=main`,
        },
        ["CLIENT_KEYS"],
      ],
      [
        { GATEWAY_URL: "s3cret", DEVICE_KEY: "s3cret", CLIENT_KEYS: `${key.entry} admin=s3cret` },
        ["GATEWAY_URL", "DEVICE_KEY", "CLIENT_KEYS"],
      ],
    ]) {
      const worker = await startWorker({ vars });
      try {
        const { status, code, error } = await refusal(await post(worker, key, says("hi")));
        assert.deepEqual([status, code], [500, "misconfigured"]);
        assert.ok(!problems.some((name) => error.message.includes(name)));
        const line = await until("the line is there", () => lines(worker)[0]);
        for (const name of problems) assert.ok(line.hint.includes(`${name}: `), line.hint);
        const log = worker.log.join("\n");
        assert.ok(!log.includes("s3cret") && !log.includes(plaintext), log);
      } finally {
        await worker.stop();
      }
    }
  });
});

describe("the gateway", () => {
  let front;
  before(async () => (front = await startFront({ vars: EACH_CONNECTS })));
  after(() => front.stop());

  /** Fault of the simulated gateway, the client's error, and the log's cause. */
  const FAULTS = [
    [
      "proxy-attribution",
      502,
      "gateway_refused",
      "proxy_attribution_required",
      "403",
      /trustedProxies/,
    ],
    ["access-302", 502, "gateway_refused", "access_login", "302", /ACCESS_CLIENT_ID/],
    ["html-200", 502, "gateway_refused", "html_page", "200", /web page/],
    ["not-found-404", 502, "gateway_refused", "not_a_gateway", "404", /not an OpenClaw gateway/],
    ["upgrade-426", 502, "gateway_refused", "not_a_gateway", "426", /not an OpenClaw gateway/],
    ["status-503", 503, "gateway_unavailable", "origin_down", "503", /no gateway behind it/],
    ["close-before-challenge", 502, "gateway_closed", "closed_before_challenge", /^\d{4}$/, /log/],
    ["startup", 503, "gateway_unavailable", "gateway_starting", "UNAVAILABLE", /wait/],
    [
      "wide-scopes",
      502,
      "gateway_refused",
      "scopes_too_wide",
      "SCOPES_TOO_WIDE",
      /strips forwarding headers/,
    ],
    ["no-write-scope", 502, "gateway_refused", "missing_scope", "MISSING_SCOPE", /operator\.write/],
    [
      "protocol-mismatch",
      502,
      "gateway_refused",
      "protocol_mismatch",
      "PROTOCOL_MISMATCH",
      /protocol/,
    ],
    [
      "auth-rate-limited",
      503,
      "gateway_unavailable",
      "auth_lockout",
      "AUTH_RATE_LIMITED",
      /opens again/,
    ],
  ];

  for (const [fault, status, code, cause, detail, hint] of FAULTS) {
    test(`${fault}: the caller gets ${status} ${code}, the log has the cause`, async () => {
      // A failure that may pass is tried three times more.
      const attempts = ["status-503", "startup"].includes(fault) ? 4 : 1;
      await front.sim.reset();
      await front.sim.fault(fault, attempts + 1);
      const answer = await refusal(
        await post(front.worker, front.phone, says("hi", { stream: true })),
      );
      assert.deepEqual([answer.status, answer.code], [status, code]);
      assert.equal(answer.headers.has("retry-after"), code !== "gateway_refused");
      // Nothing was started: an SDK may try again, unless that cannot help and would only make the
      // gateway lock us out.
      assert.equal(
        answer.headers.get("x-should-retry"),
        code === "gateway_refused" ? "false" : null,
      );
      assert.equal((await front.sim.journal()).upgrades.length, attempts);
      const id = answer.headers.get("x-request-id");
      const line = await until("the line is there", () =>
        lines(front.worker).find(({ request_id }) => request_id === id),
      );
      assert.deepEqual([line.status, line.end], [status, code]);
      assert.equal(line.cause, cause);
      if (detail instanceof RegExp) assert.match(line.detail, detail);
      else assert.equal(line.detail, detail);
      assert.match(line.hint, hint);
    });
  }

  test("a gateway that is ready in a moment is waited for, and the run is asked for once", async () => {
    for (const fault of ["status-503", "startup"]) {
      await front.sim.reset();
      await front.sim.fault(fault, 2);
      const response = await post(front.worker, front.phone, says("hi [[fake deltas=1]]"));
      assert.equal((await response.json()).choices[0].message.content, "w0");
      const { upgrades, runs } = await front.sim.journal();
      assert.deepEqual([upgrades.length, runs.length], [3, 1], fault);
    }
  });

  test("a draining gateway started nothing: 503 with Retry-After", async () => {
    const { status, code, headers } = await refusal(
      await post(front.worker, front.phone, says("hi [[fake draining=1]]")),
    );
    assert.deepEqual([status, code], [503, "gateway_unavailable"]);
    assert.ok(Number(headers.get("retry-after")) > 0);
  });

  test("after all that it still works", async () => {
    await front.sim.reset();
    const response = await post(front.worker, front.phone, says("hi [[fake deltas=1]]"));
    assert.equal((await response.json()).choices[0].message.content, "w0");
  });

  test("a gateway that is not there is 502, and 408 on the Responses API", async () => {
    const worker = await startWorker({
      vars: { GATEWAY_URL: "ws://127.0.0.1:9", GATEWAY_TOKEN: "x", CLIENT_KEYS: front.phone.entry },
    });
    try {
      const { status, code } = await refusal(await post(worker, front.phone, says("hi")));
      assert.deepEqual([status, code], [502, "gateway_unreachable"]);
      // After a 5xx on the Responses API, Codex sends 30 requests.
      const response = await fetch(`${worker.url}/v1/responses`, {
        method: "POST",
        headers: { authorization: `Bearer ${front.phone.key}`, "content-type": "application/json" },
        body: JSON.stringify({ model: "openclaw", input: "hi" }),
      });
      assert.deepEqual(
        [response.status, (await response.json()).error.code],
        [408, "gateway_unreachable"],
      );
      assert.deepEqual(
        [response.headers.get("retry-after"), response.headers.get("x-should-retry")],
        ["5", null],
      );
    } finally {
      await worker.stop();
    }
  });

  test("a device that is not paired is named in the log, with the command that approves it", async () => {
    const remote = await startFront({ simArgs: ["--require-device"] });
    try {
      const answer = await refusal(await post(remote.worker, remote.phone, says("hi")));
      assert.deepEqual([answer.status, answer.code], [502, "gateway_refused"]);
      const line = await until("the line is there", () => lines(remote.worker)[0]);
      assert.deepEqual([line.cause, line.detail], ["device_unpaired", "PAIRING_REQUIRED"]);
      assert.match(line.hint, /openclaw devices approve [0-9a-f-]{36}$/);
    } finally {
      await remote.stop();
    }
  });

  test("a wrong credential is named in the log", async () => {
    const wrong = await startFront({ vars: { GATEWAY_TOKEN: "wrong" } });
    try {
      const answer = await refusal(await post(wrong.worker, wrong.phone, says("hi")));
      assert.deepEqual([answer.status, answer.code], [502, "gateway_refused"]);
      const line = await until("the line is there", () => lines(wrong.worker)[0]);
      assert.deepEqual(
        [line.cause, line.detail],
        ["gateway_token_mismatch", "AUTH_TOKEN_MISMATCH"],
      );
    } finally {
      await wrong.stop();
    }
  });
});

/** Sends bytes as they are, which `fetch` would tidy up. */
function raw(port, request) {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.setEncoding("utf8");
    socket.on("data", (text) => (answer += text));
    socket.on("end", () => resolve(answer));
    socket.on("error", reject);
  });
}
