// What a client key opens, until when, from where, how often, and what it never learns.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { collect, lines, newDevice, newKey, post, says, sdk, startFront, until } from "./support/front.mjs";
import { startSim } from "./support/sim.mjs";
import { startWorker } from "./support/worker.mjs";

/** A key whose entry has further fields, written by hand as an operator may. */
function keyWith(id, agents, fields) {
  const made = newKey(id, agents);
  return { ...made, entry: `${made.entry} ${fields}` };
}

/** A Worker with these keys in front of a gateway. */
const frontWith = (keys, options = {}) =>
  startFront({ ...options, vars: { ...options.vars, CLIENT_KEYS: keys.map(({ entry }) => entry).join("\n") } });

const get = (worker, { key }, path, headers = {}) => fetch(`${worker.url}${path}`, { headers: { authorization: `Bearer ${key}`, ...headers } });

/** Status and code of an error; whatever else it says is compared by its text. */
async function refused(response) {
  const text = await response.text();
  return { status: response.status, code: JSON.parse(text).error.code, text, headers: response.headers };
}

/** The line that a response left in the log. */
const lineOf = (worker, response) =>
  until("the line is there", () => lines(worker).find(({ request_id }) => request_id === response.headers.get("x-request-id")));

const day = (offset) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);

describe("admission", () => {
  const good = newKey("good", "main");
  const old = keyWith("old", "main", `expires=${day(-1)}`);
  const early = keyWith("early", "main", `not_before=${day(2)}`);
  const inTime = keyWith("in-time", "main", `not_before=${day(-1)} expires=${day(2)}`);
  const office = keyWith("office", "main", "networks=203.0.113.0/24,2001:db8::/32");
  const rotated = newKey("rotated", "main");
  const replaced = newKey("rotated", "main");
  const both = { ...rotated, entry: rotated.entry.replace(" agents", ` ${replaced.entry.split(" ")[1]} agents`) };
  let front;
  before(async () => (front = await frontWith([good, old, early, inTime, office, both])));
  after(() => front.stop());

  const ask = (key, headers) => post(front.worker, key, says("hi [[fake deltas=1]]"), { headers });

  test("whatever is wrong with a key, its bearer gets the same answer, and only the log says what it is", async () => {
    await front.sim.reset();
    const answers = new Set();
    for (const [key, cause, headers] of [
      [{ key: `claw_nobody_${"a".repeat(32)}` }, "key_unknown"],
      [{ key: newKey("good", "main").key }, "key_wrong_secret"],
      [{ key: "sk-proj-0000" }, "key_malformed"],
      [old, "key_expired"],
      [early, "key_not_yet_valid"],
      [office, "key_network"],
      [office, "key_network", { "cf-connecting-ip": "203.0.114.1" }],
    ]) {
      const response = await ask(key, headers);
      const { status, text } = await refused(response);
      answers.add(`${status} ${text}`);
      assert.equal(response.headers.get("retry-after"), null);
      const line = await lineOf(front.worker, response);
      assert.deepEqual([line.end, line.cause], ["invalid_api_key", cause]);
    }
    assert.equal(answers.size, 1, [...answers].join("\n"));
    assert.equal((await front.sim.journal()).connections, 0);
  });

  test("a key in its time, on its network, or on its way to another secret is let in", async () => {
    for (const [key, headers] of [
      [inTime],
      [office, { "cf-connecting-ip": "203.0.113.9" }],
      [office, { "cf-connecting-ip": "2001:db8::7" }],
      [rotated],
      [replaced],
    ]) {
      const response = await ask(key, headers);
      assert.equal(response.status, 200, await response.text());
    }
  });

  test("an address that guesses is told to wait, others are not, and a good key is let in from it all the same", async () => {
    const worker = await startWorker({ vars: { GATEWAY_URL: front.sim.url, GATEWAY_TOKEN: front.sim.token, DEVICE_KEY: newDevice().device_key, CLIENT_KEYS: good.entry } });
    try {
      await front.sim.reset();
      const attempt = (key, address) => post(worker, key, says("hi [[fake deltas=1]]"), { headers: { "cf-connecting-ip": address } });
      const wrong = newKey("good", "main");
      for (let count = 0; count < 20; count += 1) assert.equal((await refused(await attempt(wrong, "2001:db8::1"))).status, 401);
      for (const address of ["2001:db8::1", "2001:db8::2"]) {
        const { status, code, headers } = await refused(await attempt(wrong, address));
        assert.deepEqual([status, code], [429, "too_many_failed_attempts"]);
        assert.ok(Number(headers.get("retry-after")) > 0 && Number(headers.get("retry-after")) <= 60);
        assert.equal(headers.get("x-should-retry"), "false");
      }
      assert.equal((await refused(await attempt(wrong, "203.0.113.1"))).status, 401);
      assert.equal((await front.sim.journal()).connections, 0);
      assert.equal((await attempt(good, "2001:db8::1")).status, 200);
      const logged = await until("the good key's line is there", () => lines(worker).some(({ status }) => status === 200) && lines(worker));
      assert.equal(logged.filter(({ status }) => status === 429).length, 1, "a flood is one line");
    } finally {
      await worker.stop();
    }
  });

  test("a deployment with a bad entry stays closed and its log names the entry's id, not its values", async () => {
    const hash = good.entry.split(" ")[1];
    for (const [entries, problem] of [
      [`phone ${hash} agents=main colour=s3cret`, "CLIENT_KEYS: entry 1: phone: there is an unknown field"],
      [`phone ${hash} agents=main expires=s3cret`, "CLIENT_KEYS: entry 1: phone: expires is written"],
      [`phone ${hash} agents=main not_before=2027-01-02 expires=2027-01-01`, "CLIENT_KEYS: entry 1: phone: expires is not after not_before"],
      [`phone ${hash} agents=main\nphone ${newKey("a", "main").entry.split(" ")[1]} agents=main`, "CLIENT_KEYS: entry 2: phone: the id is used twice"],
      [`phone ${hash} agents=main;other ${hash} agents=main`, "CLIENT_KEYS: entry 2: other: has the same hash as phone"],
      [`phone sha256:${"0".repeat(64)} agents=main`, "CLIENT_KEYS: entry 1: sha256:<64 lower-case hex digits> must follow the id"],
    ]) {
      const worker = await startWorker({ vars: { GATEWAY_URL: "ws://127.0.0.1:1", GATEWAY_TOKEN: "x", CLIENT_KEYS: entries } });
      try {
        const { status, code } = await refused(await post(worker, good, says("hi")));
        assert.deepEqual([status, code], [500, "misconfigured"]);
        const { hint } = await until("the line is there", () => lines(worker)[0]);
        assert.ok(hint.startsWith(problem), hint);
        assert.ok(!worker.log.join("\n").includes("s3cret"));
      } finally {
        await worker.stop();
      }
    }
  });
});

describe("scopes and status", () => {
  const phone = keyWith("phone", "main,beta", `default=main rpm=30 runs=2 expires=${day(30)} label="Anna's phone"`);
  const talker = keyWith("talker", "main", "scopes=chat");
  const reader = keyWith("reader", "main", "scopes=models");
  let front;
  before(async () => (front = await frontWith([phone, talker, reader])));
  after(() => front.stop());

  test("a key does what its scopes say, and the gateway hears of nothing else", async () => {
    await front.sim.reset();
    for (const response of [
      await post(front.worker, reader, says("hi")),
      await get(front.worker, talker, "/v1/models"),
      await get(front.worker, talker, "/v1/models/main"),
    ]) {
      const { status, code } = await refused(response);
      assert.deepEqual([status, code], [403, "missing_scope"]);
    }
    assert.equal((await front.sim.journal()).connections, 0);
    assert.equal((await get(front.worker, reader, "/v1/models")).status, 200);
    assert.equal((await post(front.worker, talker, says("hi [[fake deltas=1]]"))).status, 200);
  });

  test("a key tells its bearer what it may do, until when, and what is left", async () => {
    await (await post(front.worker, phone, says("hi [[fake deltas=1]]"))).text();
    const response = await get(front.worker, phone, "/v1/key");
    assert.equal(response.headers.get("cache-control"), "no-store");
    const { requests_per_minute, ...status } = await response.json();
    assert.deepEqual(status, {
      object: "key",
      id: "phone",
      label: "Anna's phone",
      agents: ["main", "beta"],
      default_agent: "main",
      sessions: "own",
      scopes: ["chat", "models", "responses"],
      not_before: null,
      expires: `${day(30)}T00:00:00Z`,
      concurrent_runs: { limit: 2, running: 0 },
      origins: [],
      networks: [],
      heartbeat: true,
      keep_alive_s: 30,
      on_disconnect: "abort",
      conversations: [],
      tasks: "aside",
      reasoning: false,
      progress: false,
      tools: "ignore",
    });
    assert.deepEqual([requests_per_minute.limit, requests_per_minute.remaining], [30, 29]);
    assert.ok(requests_per_minute.reset_s > 0 && requests_per_minute.reset_s <= 60);
    // No scope is needed, and asking uses nothing up.
    assert.equal((await (await get(front.worker, reader, "/v1/key")).json()).id, "reader");
    assert.equal((await (await get(front.worker, phone, "/v1/key")).json()).requests_per_minute.remaining, 29);
    assert.equal((await refused(await fetch(`${front.worker.url}/v1/key`))).status, 401);
  });
});

describe("requests per minute", () => {
  const slow = keyWith("slow", "main", "rpm=2");
  const other = keyWith("other", "main", "rpm=2");
  const free = newKey("free", "main");

  test("a key's requests are counted, said in OpenAI's headers, and refused when they are used up", async () => {
    const front = await frontWith([slow, other, free]);
    try {
      const ask = (key) => post(front.worker, key, says("hi [[fake deltas=1]]"));
      for (const remaining of ["1", "0"]) {
        const { status, headers } = await ask(slow);
        assert.deepEqual(
          [status, headers.get("x-ratelimit-limit-requests"), headers.get("x-ratelimit-remaining-requests")],
          [200, "2", remaining],
        );
        assert.match(headers.get("x-ratelimit-reset-requests"), /^\d+s$/);
      }
      await front.sim.reset();
      const { status, code, headers } = await refused(await ask(slow));
      assert.deepEqual([status, code, headers.get("x-ratelimit-remaining-requests")], [429, "rate_limit_exceeded", "0"]);
      assert.ok(Number(headers.get("retry-after")) > 0 && Number(headers.get("retry-after")) <= 60);
      await assert.rejects(sdk(front.worker, slow).chat.completions.create(says("hi")), (error) => error instanceof OpenAI.RateLimitError);
      assert.equal((await front.sim.journal()).connections, 0);
      assert.equal((await ask(other)).status, 200);
      const unlimited = await ask(free);
      assert.deepEqual([unlimited.status, unlimited.headers.get("x-ratelimit-limit-requests")], [200, null]);
    } finally {
      await front.stop();
    }
  });

  test("a counter of the platform's is asked too, under the key's id", async () => {
    const front = await startFront();
    const worker = await startWorker({
      vars: { GATEWAY_URL: front.sim.url, GATEWAY_TOKEN: front.sim.token, DEVICE_KEY: newDevice().device_key, CLIENT_KEYS: `${slow.entry}\n${other.entry}` },
      // Stricter than the isolate's own, as if requests had come elsewhere: whoever refuses, it was this one.
      rateLimits: { RPM_2: 1 },
    });
    try {
      const ask = async (key) => {
        const response = await post(worker, key, says("hi [[fake deltas=1]]"));
        await response.text();
        return [response.status, response.headers.get("x-ratelimit-remaining-requests")];
      };
      assert.deepEqual(await ask(slow), [200, "1"]);
      assert.deepEqual(await ask(slow), [429, "0"]);
      assert.deepEqual(await ask(other), [200, "1"]);
    } finally {
      await worker.stop();
      await front.stop();
    }
  });
});

describe("concurrent runs", () => {
  const one = keyWith("one", "main", "runs=1");
  let front;
  before(async () => (front = await frontWith([one])));
  after(() => front.stop());

  const running = async () => (await (await get(front.worker, one, "/v1/key")).json()).concurrent_runs.running;

  test("a key has as many runs as it may, and the next is refused before the gateway hears of it", async () => {
    const controller = new AbortController();
    const response = await post(front.worker, one, says("hi [[fake deltas=400 delay=20]]", { stream: true }), { signal: controller.signal });
    assert.equal(response.status, 200);
    assert.equal(await running(), 1);
    const before = (await front.sim.journal()).connections;
    const { status, code, headers } = await refused(await post(front.worker, one, says("hi [[fake deltas=1]]")));
    assert.deepEqual([status, code, headers.get("retry-after")], [429, "concurrent_runs_exceeded", "5"]);
    assert.equal((await front.sim.journal()).connections, before);
    controller.abort();
    await until("the run that was left makes room", async () => (await running()) === 0);
  });

  const ENDINGS = [
    ["an answer", says("hi [[fake deltas=2]]")],
    ["a streamed answer", says("hi [[fake deltas=2]]", { stream: true })],
    ["a provider's failure", says("hi [[fake error=400]]")],
    ["a failure in the stream", says("hi [[fake deltas=6 streamerror=3]]", { stream: true })],
    ["a run that takes too long", says("hi [[fake timeoutrun=1]]")],
    ["a gateway that will not start it", says("hi [[fake draining=1]]")],
    ["an agent that is not there", says("hi", { model: "main" }), "not-found-404"],
    ["a gateway that is none", says("hi"), "html-200"],
    ["a gateway that closes", says("hi"), "close-before-challenge"],
    ["a command that is refused", says("/reset")],
    ["a body that is none", "{"],
    ["a gateway that goes away in the middle", says("hi [[fake deltas=6 close=1012 after=3]]")],
  ];
  for (const [name, body, fault] of ENDINGS) {
    test(`${name} makes room for another run`, async () => {
      for (let count = 0; count < 2; count += 1) {
        if (fault) await front.sim.fault(fault);
        const response = await post(front.worker, one, body);
        assert.notEqual(response.status, 429, await response.clone().text());
        await response.text();
        await until("there is room", async () => (await running()) === 0);
      }
    });
  }
});

test("a run whose client left finishes where the key says so", async () => {
  const job = keyWith("job", "main", "on_disconnect=finish runs=1");
  const front = await frontWith([job]);
  try {
    await front.sim.reset();
    const controller = new AbortController();
    const response = await post(front.worker, job, says("hi [[fake deltas=40 delay=20]]", { stream: true }), { signal: controller.signal });
    await response.body.getReader().read();
    controller.abort();
    await until("the socket is closed", async () => (await front.sim.journal()).open_connections === 0);
    const run = await until("the run is over", async () => {
      const [run] = (await front.sim.journal()).runs;
      return run.ended !== "running" && run;
    });
    assert.deepEqual([run.ended, run.abortedBy], ["ok", null]);
    assert.equal((await post(front.worker, job, says("hi [[fake deltas=1]]"))).status, 200, "its place is free again");
  } finally {
    await front.stop();
  }
});

for (const protocol of [4, 3]) {
  describe(`models, protocol ${protocol}`, () => {
    const phone = keyWith("phone", "main,beta,gone", "default=beta");
    const boss = newKey("boss", "*");
    const guest = newKey("guest", "secret");
    const vars = { MODEL_ALIASES: "gpt-4o=main, private=secret" };
    let front;
    before(async () => (front = await frontWith([phone, boss, guest], { protocol, vars, simArgs: ["--default-agent", "main"] })));
    after(() => front.stop());

    const ids = async (key, worker = front.worker) => (await sdk(worker, key).models.list()).data.map(({ id }) => id);

    test("a key lists its own agents of those that are there, in every form a client can send", async () => {
      assert.deepEqual(await ids(phone), ["openclaw", "openclaw/main", "openclaw/beta", "main", "beta", "gpt-4o"]);
      assert.deepEqual(await ids(guest), ["openclaw", "openclaw/secret", "secret", "private"]);
      assert.deepEqual(await ids(boss), [
        "openclaw",
        ...["main", "beta", "secret"].map((id) => `openclaw/${id}`),
        ...["main", "beta", "secret"],
        ...["gpt-4o", "private"],
      ]);
      const { headers } = await get(front.worker, phone, "/v1/models");
      assert.equal(headers.get("x-clawfront-models"), "gateway");
    });

    test("every listed name reaches the agent it is listed for", async () => {
      for (const { id, root } of (await sdk(front.worker, boss).models.list()).data) {
        const completion = await sdk(front.worker, boss).chat.completions.create(says("[[fake echo=1]]", { model: id }));
        assert.equal(completion.model, id);
        const agent = JSON.parse(completion.choices[0].message.content).agentId;
        assert.equal(`openclaw/${agent}`, root ?? id);
      }
    });

    test("one model is found under its name, with a slash or %2F", async () => {
      for (const path of ["openclaw/main", "openclaw%2Fmain", "main", "gpt-4o", "agent:main", "openclaw"]) {
        const response = await get(front.worker, phone, `/v1/models/${path}`);
        assert.equal(response.status, 200, path);
        assert.equal((await response.json()).id, decodeURIComponent(path));
      }
      assert.equal((await sdk(front.worker, phone).models.retrieve("openclaw/beta")).root, "openclaw/beta");
      const answers = new Set();
      for (const path of ["secret", "openclaw/secret", "private", "nobody", "gone", "openclaw%2F..%2Fmain"]) {
        const { status, text } = await refused(await get(front.worker, phone, `/v1/models/${path}`));
        answers.add(`${status} ${text}`);
      }
      assert.equal(answers.size, 1, [...answers].join("\n"));
      assert.match([...answers][0], /^404 .*"model_not_found"/);
      const head = await fetch(`${front.worker.url}/v1/models`, { method: "HEAD", headers: { authorization: `Bearer ${phone.key}` } });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
    });

    test("the gateway is asked once, and its socket is closed", async () => {
      const worker = await startWorker({
        vars: { GATEWAY_URL: front.sim.url, GATEWAY_TOKEN: front.sim.token, DEVICE_KEY: newDevice().device_key, CLIENT_KEYS: phone.entry },
      });
      try {
        await front.sim.reset();
        for (let count = 0; count < 3; count += 1) await ids(phone, worker);
        const journal = await until("the socket is closed", async () => {
          const journal = await front.sim.journal();
          return journal.open_connections === 0 && journal;
        });
        assert.equal(journal.connections, 1);
        assert.deepEqual(journal.frames.map(({ method }) => method), ["connect", "agents.list"]);
      } finally {
        await worker.stop();
      }
    });
  });
}

test("a crowd that asks for models is one question to the gateway", async () => {
  const phone = newKey("phone", "main");
  const front = await frontWith([phone]);
  try {
    await front.sim.reset();
    const answers = await Promise.all(Array.from({ length: 40 }, () => get(front.worker, phone, "/v1/models")));
    for (const answer of answers) assert.equal((await answer.json()).data.length, 3);
    assert.equal((await front.sim.journal()).connections, 1);
    // One that does not tell is asked once, too, and then left alone for a while.
    const silent = await frontWith([phone], { simArgs: ["--fault", "no-challenge"] });
    try {
      const sources = await Promise.all(
        Array.from({ length: 40 }, async () => {
          const answer = await get(silent.worker, phone, "/v1/models");
          assert.deepEqual((await answer.json()).data.map(({ id }) => id), ["openclaw", "openclaw/main", "main"]);
          return answer.headers.get("x-clawfront-models");
        }),
      );
      assert.deepEqual(new Set(sources), new Set(["allow-list"]));
      assert.equal((await silent.sim.journal()).connections, 1);
      assert.ok(lines(silent.worker).some(({ end, cause }) => end === "ok" && cause === "handshake_timeout"));
    } finally {
      await silent.stop();
    }
  } finally {
    await front.stop();
  }
});

test("with the gateway away a key still lists its agents, and says that nobody else did", async () => {
  const sim = await startSim({ args: ["--agent", "main"] });
  const phone = newKey("phone", "main,beta");
  const boss = newKey("boss", "*");
  const worker = await startWorker({
    vars: { GATEWAY_URL: sim.url, GATEWAY_TOKEN: sim.token, DEVICE_KEY: newDevice().device_key, CLIENT_KEYS: `${phone.entry}\n${boss.entry}` },
  });
  try {
    await sim.stop();
    for (const [key, expected] of [
      [phone, ["openclaw/main", "openclaw/beta", "main", "beta"]],
      [boss, ["openclaw"]],
    ]) {
      const response = await get(worker, key, "/v1/models");
      assert.deepEqual([response.status, response.headers.get("x-clawfront-models")], [200, "allow-list"]);
      assert.deepEqual((await response.json()).data.map(({ id }) => id), expected);
    }
    const { cause, hint } = await until("the line is there", () => lines(worker)[0]);
    assert.equal(cause, "connection_failed");
    assert.match(hint, /GATEWAY_URL/);
  } finally {
    await worker.stop();
  }
});

describe("conversations of chat UIs", () => {
  const ui = keyWith("ui", "main", "conversations=X-OpenWebUI-Chat-Id,x-session-id");
  const inline = keyWith("inline", "main", "conversations=x-openwebui-chat-id tasks=inline");
  const plain = newKey("plain", "main");
  let front;
  before(async () => (front = await frontWith([ui, inline, plain], { simArgs: ["--default-agent", "main"] })));
  after(() => front.stop());

  const TITLE = "### Task:\nGenerate a concise, 3-5 word title summarizing the chat history.\n<chat_history>\nUSER: hi\n</chat_history> [[fake echo=1]]";

  /** The session that a request ran in. */
  async function session(key, headers, body = says("[[fake echo=1]]")) {
    const response = await post(front.worker, key, body, { headers });
    assert.equal(response.status, 200, await response.clone().text());
    return { response, key: JSON.parse((await response.json()).choices[0].message.content).sessionKey };
  }

  test("a conversation's header names a session of the key that lists it, and of no other", async () => {
    const chat = { "x-openwebui-chat-id": "7f3c-1" };
    assert.equal((await session(ui, chat)).key, "agent:main:edge:ui:chat:x-openwebui-chat-id:=7f3c-1");
    assert.equal((await session(ui, { ...chat, "x-session-id": "s" })).key, "agent:main:edge:ui:chat:x-openwebui-chat-id:=7f3c-1");
    assert.equal((await session(ui, { "x-session-id": "s" })).key, "agent:main:edge:ui:chat:x-session-id:=s");
    assert.equal((await session(ui, { ...chat, "x-openclaw-session-key": "trip" })).key, "agent:main:edge:ui:key:=trip");
    assert.equal((await session(ui, chat, says("[[fake echo=1]]", { user: "anna" }))).key, "agent:main:edge:ui:chat:x-openwebui-chat-id:=7f3c-1");
    assert.match((await session(ui, { "x-session-id": "agent:main:main" })).key, /^agent:main:edge:ui:chat:x-session-id:~[0-9a-f]{64}$/);
    assert.match((await session(plain, chat)).key, /^agent:main:edge:plain:run:[0-9a-f]{32}$/);
  });

  test("a chat UI's own call leaves no trace in the conversation, and the log says so", async () => {
    const chat = { "x-openwebui-chat-id": "7f3c-1" };
    const title = await session(ui, chat, says(TITLE));
    assert.match(title.key, /^agent:main:edge:ui:run:[0-9a-f]{32}$/);
    assert.equal((await lineOf(front.worker, title.response)).aside, true);
    assert.equal((await session(inline, chat, says(TITLE))).key, "agent:main:edge:inline:chat:x-openwebui-chat-id:=7f3c-1");
    const said = await session(ui, chat);
    assert.equal((await lineOf(front.worker, said.response)).aside, undefined);
  });
});

describe("web pages", () => {
  const page = keyWith("page", "main", "origins=https://chat.example.com,http://localhost:3000");
  const server = newKey("server", "main");
  let front;
  before(async () => (front = await frontWith([page, server])));
  after(() => front.stop());

  const ORIGIN = "https://chat.example.com";
  const cors = ({ headers }) => Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control") || name === "vary"));
  const ask = (key, origin) => post(front.worker, key, says("hi [[fake deltas=1]]", { stream: true }), { headers: { origin } });

  test("a preflight from a page of some key is granted what it asks for, before anybody shows a key", async () => {
    await front.sim.reset();
    const wanted = "authorization,content-type,x-openclaw-agent-id,x-stainless-arch,x-stainless-retry-count";
    const preflight = (origin) =>
      fetch(`${front.worker.url}/v1/chat/completions`, {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": wanted },
      });
    const granted = await preflight(ORIGIN);
    assert.equal(granted.status, 204);
    assert.deepEqual(cors(granted), {
      "access-control-allow-headers": wanted,
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-origin": ORIGIN,
      "access-control-expose-headers": granted.headers.get("access-control-expose-headers"),
      "access-control-max-age": "7200",
      vary: "Origin, Access-Control-Request-Headers",
    });
    for (const origin of ["https://evil.example", "https://chat.example.com.evil.example", "null", "http://chat.example.com"]) {
      const refusal = await preflight(origin);
      assert.equal(refusal.headers.get("access-control-allow-origin"), null);
      assert.deepEqual((({ status, code }) => [status, code])(await refused(refusal)), [403, "origin_not_allowed"]);
    }
    assert.equal((await front.sim.journal()).connections, 0);
  });

  test("a page of the key reads answers, errors and the headers that say what is left", async () => {
    for (const response of [await ask(page, ORIGIN), await ask({ key: "claw_page_wrong" }, ORIGIN), await get(front.worker, page, "/v1/models", { origin: ORIGIN })]) {
      assert.equal(response.headers.get("access-control-allow-origin"), ORIGIN);
      assert.equal(response.headers.get("access-control-allow-credentials"), null);
      const exposed = response.headers.get("access-control-expose-headers").split(", ");
      for (const [name] of response.headers) {
        if (name.startsWith("x-") && name !== "x-accel-buffering") assert.ok(exposed.includes(name), name);
      }
      assert.match(response.headers.get("vary"), /Origin/);
      await response.text();
    }
  });

  test("a page that is not the key's gets nothing, and no run is started for it", async () => {
    await front.sim.reset();
    for (const origin of ["https://evil.example", "null"]) {
      const response = await ask(page, origin);
      assert.equal(response.headers.get("access-control-allow-origin"), null);
      assert.equal((await refused(response)).code, "origin_not_allowed");
    }
    assert.equal((await front.sim.journal()).connections, 0);
    // A key without pages is a program's: an Origin header means nothing, and no page can read the answer.
    const response = await ask(server, ORIGIN);
    assert.deepEqual([response.status, response.headers.get("access-control-allow-origin")], [200, null]);
    await response.text();
  });
});

for (const protocol of [4, 3]) {
  test(`two keys never meet in a session, whatever they send, protocol ${protocol}`, async () => {
    const a = newKey("a", "main");
    const b = newKey("b", "main");
    const front = await frontWith([a, b], { protocol, simArgs: ["--default-agent", "main"] });
    try {
      const session = async (key, headers, user) => {
        const response = await post(front.worker, key, says("[[fake echo=1]]", { user }), { headers });
        return response.status === 200 ? JSON.parse((await response.json()).choices[0].message.content).sessionKey : response.status;
      };
      const mine = await session(a, { "x-openclaw-session-key": "trip" });
      assert.equal(mine, "agent:main:edge:a:key:=trip");
      for (const name of [mine, mine.toUpperCase(), "trip", "edge:a:key:=trip", "../a/trip", "agent:main:main", "a:key:=trip", "x".repeat(1024), "%00", "😀"]) {
        for (const [headers, user] of [
          [{ "x-openclaw-session-key": Buffer.from(name).toString("latin1") }, undefined],
          [{}, name],
        ]) {
          const theirs = await session(b, headers, user);
          assert.ok(typeof theirs === "string" && theirs.startsWith("agent:main:edge:b:"), `${name}: ${theirs}`);
        }
      }
      assert.equal(await session(b, { "x-openclaw-session-key": "x".repeat(1025) }), 400);
      // Bytes that are no UTF-8 would all be one name.
      assert.equal(await session(b, { "x-openclaw-session-key": "caf\xe9" }), 400);
      const seen = await collect(await sdk(front.worker, a).chat.completions.create(says("hi [[fake deltas=2]]", { stream: true })));
      assert.equal(seen.text, "w0 w1");
    } finally {
      await front.stop();
    }
  });
}
