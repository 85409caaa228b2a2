// Tests the agents that a key can list and use.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  EACH_CONNECTS,
  lines,
  newDevice,
  newKey,
  post,
  says,
  sdk,
  until,
} from "../support/front.mjs";
import { frontWith, get, keyWith, refused } from "../support/keys.mjs";
import { startSim } from "../support/sim.mjs";
import { startWorker } from "../support/worker.mjs";

for (const protocol of [4, 3]) {
  describe(`models, protocol ${protocol}`, () => {
    const phone = keyWith("phone", "main,beta,gone", "default=beta");
    const boss = newKey("boss", "*");
    const guest = newKey("guest", "secret");
    const picky = keyWith("picky", "main,beta", "default=beta aliases=on");
    const vars = { MODEL_ALIASES: "gpt-4o=main, private=secret" };
    let front;
    before(
      async () =>
        (front = await frontWith([phone, boss, guest, picky], {
          protocol,
          vars: { ...vars, ...EACH_CONNECTS },
          simArgs: ["--default-agent", "main"],
        })),
    );
    after(() => front.stop());

    const ids = async (key, { worker = front.worker, aliases } = {}) =>
      (await sdk(worker, key).models.list({ query: { aliases } })).data.map(({ id }) => id);

    test("a key lists its own agents of those that are there, each once", async () => {
      assert.deepEqual(await ids(phone), ["openclaw", "openclaw/main"]);
      assert.deepEqual(await ids(guest), ["openclaw"]);
      assert.deepEqual(await ids(boss), ["openclaw", "openclaw/beta", "openclaw/secret"]);
      assert.deepEqual(await ids(picky, { aliases: false }), ["openclaw", "openclaw/main"]);
    });

    test("a request or a key asks for every name", async () => {
      const names = ["openclaw", "openclaw/main", "openclaw/beta", "main", "beta", "gpt-4o"];
      assert.deepEqual(await ids(phone, { aliases: true }), names);
      assert.deepEqual(await ids(picky), names);
      assert.deepEqual(await ids(guest, { aliases: true }), [
        "openclaw",
        "openclaw/secret",
        "secret",
        "private",
      ]);
      assert.deepEqual(await ids(boss, { aliases: true }), [
        "openclaw",
        ...["main", "beta", "secret"].map((id) => `openclaw/${id}`),
        ...["main", "beta", "secret"],
        ...["gpt-4o", "private"],
      ]);
      const { headers } = await get(front.worker, phone, "/v1/models");
      assert.equal(headers.get("x-clawfront-models"), "gateway");
    });

    test("a model has its agent's name and, if the gateway sends them, its model's details", async () => {
      const { data } = await (await get(front.worker, phone, "/v1/models")).json();
      const all = { object: "model", created: 0, owned_by: "openclaw" };
      const details = protocol === 4 && {
        context_length: 200_000,
        architecture: { input_modalities: ["text", "image"], output_modalities: ["text"] },
      };
      // The first agent's model cannot think.
      const reasoning = protocol === 4 && {
        reasoning: { supported_efforts: ["high", "medium", "low", "minimal", "none"] },
      };
      assert.deepEqual(data, [
        { id: "openclaw", ...all, root: "openclaw/beta", name: "Beta", ...details, ...reasoning },
        { id: "openclaw/main", ...all, name: "Main", ...details },
      ]);
      const { supported_efforts: efforts = [] } = data[0].reasoning ?? {};
      for (const reasoning_effort of efforts) {
        const { completions } = sdk(front.worker, phone).chat;
        const asked = completions.create(says("hi [[fake deltas=1]]", { reasoning_effort }));
        const { headers } = (await asked.withResponse()).response;
        assert.equal(headers.get("x-clawfront-ignored"), null, reasoning_effort);
      }
    });

    test("every listed name reaches the agent it is listed for", async () => {
      for (const { id, root } of (
        await sdk(front.worker, boss).models.list({ query: { aliases: true } })
      ).data) {
        const completion = await sdk(front.worker, boss).chat.completions.create(
          says("[[fake echo=1]]", { model: id }),
        );
        assert.equal(completion.model, id);
        const agent = JSON.parse(completion.choices[0].message.content).agentId;
        assert.equal(`openclaw/${agent}`, root ?? id);
      }
    });

    test("one model is found under its name, with a slash or %2F", async () => {
      for (const path of [
        "openclaw/main",
        "openclaw%2Fmain",
        "main",
        "gpt-4o",
        "agent:main",
        "openclaw",
      ]) {
        const response = await get(front.worker, phone, `/v1/models/${path}`);
        assert.equal(response.status, 200, path);
        assert.equal((await response.json()).id, decodeURIComponent(path));
      }
      assert.equal(
        (await sdk(front.worker, phone).models.retrieve("openclaw/beta")).root,
        "openclaw/beta",
      );
      const answers = new Set();
      for (const path of [
        "secret",
        "openclaw/secret",
        "private",
        "nobody",
        "gone",
        "openclaw%2F..%2Fmain",
      ]) {
        const { status, text } = await refused(
          await get(front.worker, phone, `/v1/models/${path}`),
        );
        answers.add(`${status} ${text}`);
      }
      assert.equal(answers.size, 1, [...answers].join("\n"));
      assert.match([...answers][0], /^404 .*"model_not_found"/);
      await post(front.worker, phone, says("hi", { model: "openclaw/secret" }));
      await post(front.worker, phone, says("hi", { model: "my PIN is 4711" }));
      const named = await until("the lines are there", () => {
        const models = lines(front.worker)
          .filter(({ end }) => end === "model_not_found")
          .map(({ model, hint }) => hint && model);
        return models.includes("(not a model's name)") && models;
      });
      for (const model of ["private", "openclaw/secret"])
        assert.ok(named.includes(model), named.join(", "));
      const head = await fetch(`${front.worker.url}/v1/models`, {
        method: "HEAD",
        headers: { authorization: `Bearer ${phone.key}` },
      });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
    });

    test("the gateway is asked once, and its socket is closed", async () => {
      const worker = await startWorker({
        vars: {
          GATEWAY_URL: front.sim.url,
          GATEWAY_TOKEN: front.sim.token,
          DEVICE_KEY: newDevice().device_key,
          CLIENT_KEYS: phone.entry,
          ...EACH_CONNECTS,
        },
      });
      try {
        await front.sim.reset();
        for (let count = 0; count < 3; count += 1) await ids(phone, { worker });
        const journal = await until("the socket is closed", async () => {
          const journal = await front.sim.journal();
          return journal.open_connections === 0 && journal;
        });
        assert.equal(journal.connections, 1);
        assert.deepEqual(
          journal.frames.map(({ method }) => method),
          ["connect", "agents.list", ...(protocol === 4 ? ["models.list"] : [])],
        );
      } finally {
        await worker.stop();
      }
    });
  });
}

test("a crowd that asks for models is one question to the gateway", async () => {
  const phone = newKey("phone", "main");
  const front = await frontWith([phone], { vars: EACH_CONNECTS });
  try {
    await front.sim.reset();
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => get(front.worker, phone, "/v1/models")),
    );
    for (const answer of answers) assert.equal((await answer.json()).data.length, 1);
    assert.equal((await front.sim.journal()).connections, 1);
    // A gateway that does not list its agents is asked once, too, and then not again for a while.
    const silent = await frontWith([phone], { simArgs: ["--fault", "no-challenge"] });
    try {
      const sources = await Promise.all(
        Array.from({ length: 40 }, async () => {
          const answer = await get(silent.worker, phone, "/v1/models");
          assert.deepEqual(
            (await answer.json()).data.map(({ id }) => id),
            ["openclaw"],
          );
          return answer.headers.get("x-clawfront-models");
        }),
      );
      assert.deepEqual(new Set(sources), new Set(["allow-list"]));
      assert.equal((await silent.sim.journal()).connections, 1);
      assert.ok(
        lines(silent.worker).some(
          ({ end, cause }) => end === "ok" && cause === "handshake_timeout",
        ),
      );
    } finally {
      await silent.stop();
    }
  } finally {
    await front.stop();
  }
});

test("without the gateway a key still lists its agents, and the response reports that they are from the key", async () => {
  const sim = await startSim({ args: ["--agent", "main"] });
  const phone = newKey("phone", "main,beta");
  const boss = newKey("boss", "*");
  const worker = await startWorker({
    vars: {
      GATEWAY_URL: sim.url,
      GATEWAY_TOKEN: sim.token,
      DEVICE_KEY: newDevice().device_key,
      CLIENT_KEYS: `${phone.entry}\n${boss.entry}`,
    },
  });
  try {
    await sim.stop();
    for (const [key, expected] of [
      [phone, ["openclaw/main", "openclaw/beta"]],
      [boss, ["openclaw"]],
    ]) {
      const response = await get(worker, key, "/v1/models");
      assert.deepEqual(
        [response.status, response.headers.get("x-clawfront-models")],
        [200, "allow-list"],
      );
      assert.deepEqual(
        (await response.json()).data.map(({ id }) => id),
        expected,
      );
    }
    const { cause, hint } = await until("the line is there", () => lines(worker)[0]);
    assert.equal(cause, "connection_failed");
    assert.match(hint, /GATEWAY_URL/);
  } finally {
    await worker.stop();
  }
});
