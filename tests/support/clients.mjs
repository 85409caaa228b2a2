// Tests that clients behave alike in front of an agent.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CLIENTS } from "../../scripts/clients.mjs";
import { collect, start, stop } from "../../scripts/processes.mjs";
import { PYTHON, pythonEnvironment } from "../../scripts/python.mjs";
import { newDevice, newKey, until } from "./front.mjs";
import { PIXEL, PIXEL_BYTES, spoken, words } from "./prompts.mjs";
import { startSim } from "./sim.mjs";
import { thrown } from "./thrown.mjs";
import { startWorker } from "./worker.mjs";

/**
 * Starts a simulated gateway and a Worker, and makes keys for clients. `gatewayUrl` is the address
 * under which the Worker reaches the gateway, by default the gateway's own.
 * @returns `phone` may reach main (its default) and beta; `once` only one request a minute,
 *   `single` one at a time; `page` only from pages of `origin`, if there is one.
 */
export async function startClientFront({ protocol = 4, origin, gatewayUrl, vars } = {}) {
  const sim = await startSim({
    protocol,
    args: ["--agent", "main", "--agent", "beta", "--agent", "secret"],
  });
  const keys = {
    phone: newKey("phone", "main,beta", "--default", "main"),
    once: newKey("once", "main", "--rpm", "1"),
    single: newKey("single", "main", "--runs", "1"),
  };
  const entries = Object.values(keys).map(({ entry }) => entry);
  if (origin) {
    keys.page = newKey("page", "main,beta", "--default", "main");
    entries.push(`${keys.page.entry} origins=${origin}`);
    entries[1] += ` origins=${origin}`;
  }
  const worker = await startWorker({
    vars: {
      GATEWAY_URL: gatewayUrl ?? sim.url,
      GATEWAY_TOKEN: sim.token,
      DEVICE_KEY: newDevice().device_key,
      CLIENT_KEYS: entries.join("\n"),
      ...vars,
    },
  });
  return {
    sim,
    worker,
    baseURL: `${worker.url}/v1`,
    ...keys,
    stop: async () => {
      await worker.stop();
      await sim.stop();
    },
  };
}

/**
 * Tests one client. `adapter` has one function per task of the client's users, written as the
 * client's own documentation writes it. It gets `{ baseURL, key }` and returns
 *
 * - `models()`: the ids of the models, where the client can list them,
 * - `ask({ content, stream, model, image, user, session, leaveAfter })`: `{ text, finish, usage: {
 *   input, output, cached } }`. `image` is base64 of a PNG, `session` goes into the header
 *   `x-openclaw-session-key`, and after `leaveAfter` characters the client leaves and returns what
 *   it has.
 *
 * It throws the client's errors, or `thrown`; `names` are the names of these errors.
 * `adapter.close` is called at the end, if there is one. `lists`, `user` and `finishes` are whether
 * the client can list models, name a user, and report why an answer ended.
 */
export function contract(
  client,
  {
    adapter,
    names,
    lists = true,
    user = true,
    finishes = true,
    start: startFront = startClientFront,
  },
) {
  describe(client, () => {
    let front;
    const using = ({ key }) => adapter({ baseURL: front.baseURL, key });
    let phone;
    before(async () => {
      front = await startFront();
      phone = using(front.page ?? front.phone);
    });
    after(async () => {
      await adapter.close?.();
      await front?.stop();
    });

    const refused = async (promise, expected) => {
      const error = await promise.then(
        (answer) => assert.fail(`an answer: ${JSON.stringify(answer)}`),
        (error) => error,
      );
      const { kind: name = error.constructor.name, status, message } = error;
      const shown = `${name} ${status}: ${message}`;
      assert.deepEqual([name, status], [expected.name, expected.status], shown);
      assert.match(message, expected.says, shown);
    };

    if (lists) {
      test("lists the agents of its key", async () => {
        assert.deepEqual(await phone.models(), ["openclaw", "openclaw/beta"]);
      });
    }

    test("streams an answer, with its usage", async () => {
      const { text, finish, usage } = await phone.ask({
        content: "hi [[fake deltas=30 delay=3]]",
        stream: true,
      });
      assert.equal(text, words(30));
      if (finishes) assert.equal(finish, "stop");
      assert.deepEqual(usage, { input: 1001, output: 30, cached: 100 });
    });

    test("gets a whole answer, with its usage", async () => {
      // For a client that does not report why an answer ended, a shortened answer is a failure.
      const { text, finish, usage } = await phone.ask({
        content: `hi [[fake deltas=4${finishes ? " finish=length" : ""}]]`,
      });
      assert.equal(text, words(4));
      if (finishes) assert.equal(finish, "length");
      assert.deepEqual(usage, { input: 1001, output: 4, cached: 100 });
    });

    test("shows text of any script unchanged", async () => {
      const text = `Grüße, 世界! 👩‍🚀 \\ "quoted" \u2028 line\nand\ttab, ${"ä".repeat(300)}.`;
      for (const stream of [true, false])
        assert.equal((await phone.ask({ content: spoken(text), stream })).text, text);
    });

    test("sends an image", async () => {
      for (const stream of [true, false]) {
        const echo = JSON.parse(
          (await phone.ask({ content: "what is this? [[fake echo=1]]", image: PIXEL, stream }))
            .text,
        );
        assert.deepEqual(
          echo.attachments.map(({ mimeType, bytes }) => [mimeType, bytes]),
          [["image/png", PIXEL_BYTES]],
        );
        assert.match(echo.message, /what is this\?/);
      }
    });

    test("says in words that a key is wrong", async () => {
      const stranger = using({ key: `claw_phone_${"a".repeat(32)}` });
      for (const stream of [true, false])
        await refused(stranger.ask({ content: "hi", stream }), {
          name: names[401],
          status: 401,
          says: /key/i,
        });
    });

    test("says in words that the agent does not exist", async () => {
      for (const model of ["secret", "openclaw/nobody"]) {
        for (const stream of [true, false])
          await refused(phone.ask({ content: "hi", model, stream }), {
            name: names[404],
            status: 404,
            says: /model|agent/i,
          });
      }
    });

    test("says in words that its requests are used up", async () => {
      const limited = using(front.once);
      await limited.ask({ content: "hi [[fake deltas=1]]" });
      await refused(limited.ask({ content: "hi [[fake deltas=1]]" }), {
        name: names[429],
        status: 429,
        says: /requests|minute|limit/i,
      });
    });

    test("never takes a failed run for an answer, and says in words what failed", async () => {
      for (const [directive, says] of [
        ["error=400", /model provider rejected the request/],
        ["deltas=6 streamerror=3", /run failed/],
        ["deltas=20 retract=12", /took back text/],
      ]) {
        for (const stream of [true, false]) {
          const answer = phone.ask({ content: `hi [[fake ${directive} delay=3]]`, stream });
          const label = `${directive}, stream ${stream}`;
          await assert.rejects(
            answer,
            (error) => says.test(error.message) || assert.fail(`${label}: ${error.message}`),
            label,
          );
        }
      }
    });

    test("has a conversation under a name", async () => {
      const session = async (fields) =>
        JSON.parse((await phone.ask({ content: "where? [[fake echo=1]]", ...fields })).text)
          .sessionKey;
      const trip = await session({ session: "trip" });
      assert.equal(await session({ session: "trip", stream: true }), trip);
      assert.notEqual(await session({ session: "home" }), trip);
      assert.notEqual(await session({}), await session({}));
      if (!user) return;
      const anna = await session({ user: "anna" });
      assert.match(anna, /:user:=anna$/);
      assert.equal(await session({ user: "anna", stream: true }), anna);
    });

    test("stops the agent when it leaves", async () => {
      await front.sim.reset();
      const { text } = await phone.ask({
        content: "hi [[fake deltas=400 delay=20]]",
        stream: true,
        leaveAfter: 40,
      });
      assert.ok(words(400).startsWith(text) && text.length >= 40, text);
      const { runs } = await until("the run has ended", async () => {
        const journal = await front.sim.journal();
        return journal.runs[0]?.ended !== "running" && journal;
      });
      assert.deepEqual(
        runs.map(({ ended }) => ended),
        ["aborted"],
      );
    });
  });
}

/**
 * Returns the adapter of a client written in Python: `tests/clients/<module>.py`, a process of
 * its own that reads requests line by line and answers each with its number, so that any number
 * can be under way. `close` ends it. `python` is the interpreter whose packages it needs, and
 * `env` its further environment variables.
 */
export function pythonAdapter(module, { python = PYTHON, env = {} } = {}) {
  let child;
  const errors = [];
  const waiting = new Map();
  let count = 0;
  let hasEnded = false;
  const ended = () => new Error(`${module}.py has ended:\n${errors.join("\n")}`);
  const launch = () => {
    child = start(python, [join(CLIENTS, `${module}.py`)], {
      group: false,
      env: { ...pythonEnvironment(), ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    collect(child.stderr, (line) => errors.push(line));
    collect(child.stdout, (line) => {
      const { number, answer, error } = JSON.parse(line);
      const { resolve, reject } = waiting.get(number);
      waiting.delete(number);
      if (error) reject(thrown(error));
      else resolve(answer);
    });
    child.stdin.on("error", () => {});
    child.ended.then(() => {
      hasEnded = true;
      for (const { reject } of waiting.values()) reject(ended());
    });
  };
  const call = (method, fields) =>
    new Promise((resolve, reject) => {
      if (!child) launch();
      if (hasEnded) return reject(ended());
      const number = count++;
      waiting.set(number, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ number, method, fields })}\n`);
    });
  const adapter = ({ baseURL, key }) => ({
    models: () => call("models", { base_url: baseURL, key }),
    ask: ({ leaveAfter, ...fields }) =>
      call("ask", { base_url: baseURL, key, leave_after: leaveAfter, ...fields }),
  });
  adapter.call = call;
  adapter.close = async () => {
    if (!child) return;
    child.stdin.end();
    await stop(child);
  };
  return adapter;
}
