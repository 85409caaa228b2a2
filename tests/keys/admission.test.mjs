// Tests which keys the Worker accepts, from which addresses, until when, and in which header.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { collect, lines, newDevice, newKey, post, says, sdk, until } from "../support/front.mjs";
import { day, frontWith, keyWith, lineOf, refused } from "../support/keys.mjs";
import { openUpload } from "../support/upload.mjs";
import { startWorker } from "../support/worker.mjs";

describe("admission", () => {
  const good = newKey("good", "main");
  const old = keyWith("old", "main", `expires=${day(-1)}`);
  const early = keyWith("early", "main", `not_before=${day(2)}`);
  const inTime = keyWith("in-time", "main", `not_before=${day(-1)} expires=${day(2)}`);
  const office = keyWith("office", "main", "networks=203.0.113.0/24,2001:db8::/32");
  const rotated = newKey("rotated", "main");
  const replaced = newKey("rotated", "main");
  const both = {
    ...rotated,
    entry: rotated.entry.replace(" agents", ` ${replaced.entry.split(" ")[1]} agents`),
  };
  let front;
  before(async () => (front = await frontWith([good, old, early, inTime, office, both])));
  after(() => front.stop());

  const ask = (key, headers) => post(front.worker, key, says("hi [[fake deltas=1]]"), { headers });

  test("every bad key gets the same answer, and only the log has the cause", async () => {
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

  test("an address that guesses must wait, others need not, and a good key from it is still accepted", async () => {
    const worker = await startWorker({
      vars: {
        GATEWAY_URL: front.sim.url,
        GATEWAY_TOKEN: front.sim.token,
        DEVICE_KEY: newDevice().device_key,
        CLIENT_KEYS: good.entry,
      },
    });
    try {
      await front.sim.reset();
      const attempt = (key, address) =>
        post(worker, key, says("hi [[fake deltas=1]]"), {
          headers: { "cf-connecting-ip": address },
        });
      const wrong = newKey("good", "main");
      for (let count = 0; count < 20; count += 1)
        assert.equal((await refused(await attempt(wrong, "2001:db8::1"))).status, 401);
      for (const address of ["2001:db8::1", "2001:db8::2"]) {
        const { status, code, headers } = await refused(await attempt(wrong, address));
        assert.deepEqual([status, code], [429, "too_many_failed_attempts"]);
        assert.ok(
          Number(headers.get("retry-after")) > 0 && Number(headers.get("retry-after")) <= 60,
        );
        assert.equal(headers.get("x-should-retry"), "false");
      }
      assert.equal((await refused(await attempt(wrong, "203.0.113.1"))).status, 401);
      assert.equal((await front.sim.journal()).connections, 0);
      assert.equal((await attempt(good, "2001:db8::1")).status, 200);
      const logged = await until(
        "the good key's line is there",
        () => lines(worker).some(({ status }) => status === 200) && lines(worker),
      );
      assert.equal(logged.filter(({ status }) => status === 429).length, 1, "a flood is one line");
      const hashes = logged.map(({ address }) => address);
      assert.ok(hashes.every((hash) => /^[0-9a-f]{16}$/.test(hash)));
      assert.equal(new Set(hashes).size, 2, "one of each subscriber");
    } finally {
      await worker.stop();
    }
  });

  test("a deployment with a bad entry stays closed and its log names the entry's id, not its values", async () => {
    const hash = good.entry.split(" ")[1];
    for (const [entries, problem] of [
      [
        `phone ${hash} agents=main colour=s3cret`,
        "CLIENT_KEYS: entry 1: phone: there is an unknown field",
      ],
      [
        `phone ${hash} agents=main expires=s3cret`,
        "CLIENT_KEYS: entry 1: phone: expires is written",
      ],
      [
        `phone ${hash} agents=main not_before=2027-01-02 expires=2027-01-01`,
        "CLIENT_KEYS: entry 1: phone: expires is not after not_before",
      ],
      [
        `phone ${hash} agents=main\nphone ${newKey("a", "main").entry.split(" ")[1]} agents=main`,
        "CLIENT_KEYS: entry 2: phone: the id is used twice",
      ],
      [
        `phone ${hash} agents=main;other ${hash} agents=main`,
        "CLIENT_KEYS: entry 2: other: has the same hash as phone",
      ],
      [
        `phone sha256:${"0".repeat(64)} agents=main`,
        "CLIENT_KEYS: entry 1: sha256:<64 lower-case hex digits> must follow the id",
      ],
    ]) {
      const worker = await startWorker({
        vars: { GATEWAY_URL: "ws://127.0.0.1:1", GATEWAY_TOKEN: "x", CLIENT_KEYS: entries },
      });
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

test("a key that expires ends its requests within a second, and its runs by its policy", async () => {
  // The start of both programs takes a second, and some on a busy machine.
  const expiresMs = Math.ceil((Date.now() + 6_000) / 1000) * 1000;
  const expires = `expires=${new Date(expiresMs).toISOString().slice(0, 19)}Z`;
  const [brief, job] = [
    keyWith("brief", "main", expires),
    keyWith("job", "main", `${expires} on_disconnect=finish`),
  ];
  const front = await frontWith([brief, job]);
  try {
    const long = (user, fields) => says("hi [[fake deltas=200 delay=50]]", { user, ...fields });
    const ends = (name, answer) =>
      answer.then((end) => ({ name, end, lateMs: Date.now() - expiresMs }));
    const streamed = async (key, user) => {
      const stream = await sdk(front.worker, key).chat.completions.create(
        long(user, { stream: true }),
      );
      return collect(stream).then(
        () => "answer",
        ({ code }) => code,
      );
    };
    const whole = async () => {
      const { status, code, headers } = await refused(
        await post(front.worker, brief, long("whole")),
      );
      return `${status} ${code} ${headers.get("x-should-retry")}`;
    };
    const upload = await openUpload(front.worker, brief, { length: 100, sent: "{" });
    const uploaded = async () => {
      await new Promise((resolve) => setTimeout(resolve, expiresMs - Date.now() + 50));
      upload.send(JSON.stringify(says("hi")).slice(1).padEnd(99));
      const { status, code } = await upload.answer();
      return `${status} ${code}`;
    };
    const seen = await Promise.all([
      ends("streamed", streamed(brief, "streamed")),
      ends("job", streamed(job, "job")),
      ends("whole", whole()),
      ends("upload", uploaded()),
    ]);
    upload.stop();
    const expected = {
      streamed: "api_key_expired",
      job: "api_key_expired",
      whole: "401 api_key_expired false",
      upload: "401 api_key_expired",
    };
    for (const { name, end, lateMs } of seen) {
      assert.equal(end, expected[name], name);
      assert.ok(lateMs >= 0 && lateMs < 1_000, `${name}: ${lateMs} ms`);
    }
    const state = (runs, user) =>
      runs.find(({ sessionKey }) => sessionKey.endsWith(`=${user}`)).ended;
    const runs = await until("the job is done", async () => {
      const { runs } = await front.sim.journal();
      return state(runs, "job") === "ok" && runs;
    });
    assert.deepEqual(
      ["streamed", "whole"].map((user) => state(runs, user)),
      ["aborted", "aborted"],
    );
    assert.equal(runs.length, 3);
  } finally {
    await front.stop();
  }
});

test("a key may be in the header of another API, if it is the only one", async () => {
  const phone = newKey("phone", "main");
  const page = newKey("page", "main", "--origins", "https://chat.example.com");
  const front = await frontWith([phone, page]);
  try {
    const status = async (headers, path = "/v1/models") =>
      (await fetch(`${front.worker.url}${path}`, { headers })).status;
    for (const name of ["api-key", "x-api-key"]) {
      assert.equal(await status({ [name]: phone.key }), 200, name);
      assert.equal(await status({ [name]: phone.key.slice(0, -1) }), 401, name);
      assert.equal(await status({ [name]: phone.key, authorization: "Bearer nobody" }), 401, name);
      assert.equal(
        await status({ [name]: "nobody", authorization: `Bearer ${phone.key}` }),
        200,
        name,
      );
      assert.equal(await status({ [name]: "nobody" }, "/readyz"), 401, name);
      const preflight = await fetch(`${front.worker.url}/v1/models`, {
        method: "OPTIONS",
        headers: {
          origin: "https://chat.example.com",
          "access-control-request-method": "GET",
          "access-control-request-headers": name,
        },
      });
      assert.deepEqual(
        [preflight.status, preflight.headers.get("access-control-allow-headers")],
        [204, name],
      );
    }
    assert.equal(await status({ "api-key": phone.key, "x-api-key": page.key }), 401);
    const answer = await fetch(`${front.worker.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "api-key": phone.key, "content-type": "application/json" },
      body: JSON.stringify(says("hi [[fake deltas=2]]")),
    });
    assert.equal((await answer.json()).choices[0].message.content, "w0 w1");
    assert.ok(!front.worker.log.join("\n").includes(phone.key), "no key is logged");
  } finally {
    await front.stop();
  }
});
