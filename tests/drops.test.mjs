// Tests the loss of the gateway connection in the middle of a run: the run is found again and
// delivered to its end, or the client receives an error. The agent runs once in every case.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import OpenAI from "openai";
import { collect, lines, says, sdk, startFront, until } from "./support/front.mjs";
import { words } from "./support/prompts.mjs";

for (const protocol of [4, 3]) {
  describe(`lost connections, protocol ${protocol}`, () => {
    let front, client;
    before(async () => {
      front = await startFront({ protocol });
      // At its default settings: it repeats by itself whatever looks as if it could be repeated.
      client = sdk(front.worker, front.phone, { maxRetries: 2 });
    });
    after(() => front.stop());
    beforeEach(() => front.sim.reset());
    afterEach(() =>
      until(
        "no socket is left but the shared one",
        async () => (await front.sim.journal()).open_connections <= 1,
        1_000,
      ),
    );

    const streamed = async (content) =>
      collect(
        await client.chat.completions.create(
          says(content, { stream: true, stream_options: { include_usage: true } }),
        ),
      );

    /**
     * Checks that exactly one run was started, and that every other `agent` request could only
     * ask about it.
     */
    async function oneRun() {
      const { runs, frames } = await front.sim.journal();
      assert.equal(runs.length, 1);
      const asked = frames.filter(({ method }) => method === "agent").map(({ params }) => params);
      assert.ok(asked.every(({ idempotencyKey }) => idempotencyKey === runs[0].runId));
      assert.equal(
        asked.filter(
          ({ agentId, channel }) =>
            agentId !== "clawfront-nobody" && channel !== "clawfront-nowhere",
        ).length,
        1,
      );
      return { runs, frames };
    }

    for (const [cause, directive] of [
      ["cut", "drop=12"],
      ["closed as by a proxy that goes away (1001)", "close=1001 after=12"],
      ["closed as by a restart (1012)", "close=1012 after=12"],
      ["closed as a slow consumer (1008)", "close=1008 after=12"],
      ["lost before the first word", "drop=0"],
      ["lost before the run was accepted", "lostaccept=1"],
      ["cut by a gateway that is slow to remember", "drop=12 settle=300"],
    ]) {
      test(`a connection that is ${cause} costs no word, and no word twice`, async () => {
        const content = `hi [[fake deltas=40 delay=25 ${directive}]]`;
        const seen = await streamed(content);
        assert.equal(seen.text, words(40));
        assert.deepEqual(
          [seen.finish, seen.roles, seen.usage.completion_tokens],
          [["stop"], ["assistant"], 40],
        );
        await oneRun();
        await front.sim.reset();
        const whole = await client.chat.completions.create(says(content));
        assert.equal(whole.choices[0].message.content, words(40));
        assert.equal(whole.usage.completion_tokens, 40);
        await oneRun();
      });
    }

    test("an answer around a tool arrives whole", async () => {
      for (const drop of [0, 5]) {
        await front.sim.reset();
        const seen = await streamed(`hi [[fake deltas=40 delay=25 tool=1 drop=${drop}]]`);
        assert.equal(seen.text, `Let me check.\n\n${words(40)}`);
        await oneRun();
      }
    });

    test("a run that ends while the connection is lost is delivered to its end", async () => {
      // Attempts come after 0.1, 0.4 and 1.3 s.
      const stream = await client.chat.completions.create(
        says("hi [[fake deltas=20 delay=10 drop=10]]", { stream: true }),
      );
      await front.sim.fault("status-503", 2);
      assert.equal((await collect(stream)).text, words(20));
      await oneRun();
    });

    test("a login page, a page, a 404 and a wrong protocol end no run", async () => {
      for (const fault of ["access-302", "html-200", "not-found-404", "protocol-mismatch"]) {
        await front.sim.reset();
        const stream = await client.chat.completions.create(
          says("hi [[fake deltas=60 delay=30]]", { stream: true }),
        );
        // It lasts until the request below was refused, however late that comes.
        await front.sim.fault(fault, 1_000);
        await front.sim.drop();
        const isTried = async () => (await front.sim.journal()).faults_left < 1_000;
        await until("the loss was seen, and an attempt was refused", isTried);
        // A request whose run has not begun gets the reason, and is not tried again.
        await assert.rejects(
          client.chat.completions.create(says("another")),
          (error) => error.code === "gateway_refused",
        );
        await front.sim.fault(fault, 0);
        assert.equal((await collect(stream)).text, words(60), fault);
        await oneRun();
      }
    });

    test("a run that fails while the connection is lost is an error", async () => {
      await assert.rejects(
        streamed("hi [[fake deltas=20 delay=10 streamerror=15 drop=10]]"),
        (error) => error instanceof OpenAI.APIError && error.code === "run_failed",
      );
      await oneRun();
    });

    test("a connection that is lost again and again costs nothing either", async () => {
      const stream = await client.chat.completions.create(
        says("hi [[fake deltas=100 delay=30]]", { stream: true }),
      );
      const connects = async () =>
        (await front.sim.journal()).frames.filter(({ method }) => method === "connect").length;
      const first = await connects();
      let text = "";
      let drops = 0;
      for await (const { choices } of stream) {
        text += choices[0]?.delta.content ?? "";
        if (drops < (protocol === 4 ? 3 : 1) && text.length > 20 * (drops + 1)) {
          drops += 1;
          await front.sim.drop();
          // Words that came before are read faster than a connection is made: the next one is lost
          // only once it is there.
          await until(
            "the connection is there again",
            async () => (await connects()) === first + drops,
          );
        }
      }
      assert.equal(text, words(100));
      await oneRun();
      assert.equal(await connects(), first + drops);
    });

    test("a run whose request was lost on its way is asked for once more on protocol 4", async () => {
      const asked = async () =>
        (await front.sim.journal()).frames.filter(
          ({ method, params }) => method === "agent" && params.agentId !== "clawfront-nobody",
        );
      for (const stream of protocol === 4 ? [true, false] : [true]) {
        await front.sim.reset();
        // A body that counts, so that its bytes are given back.
        const padding = " ".repeat(100_000);
        const answer = client.chat.completions.create(
          says(`hi${padding} [[fake deltas=5 lostask=1]]`, { stream }),
        );
        if (protocol === 4) {
          const { text, choices } = stream ? await collect(await answer) : await answer;
          assert.equal(text ?? choices[0].message.content, words(5));
        } else {
          await assert.rejects(answer, (error) => error.code === "gateway_connection_lost");
        }
        const requests = await asked();
        assert.equal(requests.length, protocol === 4 ? 2 : 1);
        assert.deepEqual(requests.at(-1).params, requests[0].params);
        assert.equal((await front.sim.journal()).runs.length, protocol === 4 ? 1 : 0);
      }
    });

    test("a run that was asked of a gateway that crashed is not asked of the next one", async () => {
      const answer = client.chat.completions.create(says("hi [[fake deltas=5 slowaccept=2000]]"));
      await until("it was asked for", async () => (await front.sim.journal()).runs.length === 1);
      await front.sim.crash();
      await assert.rejects(answer, (error) => error.code === "gateway_connection_lost");
      await oneRun();
    });

    test("a gateway that crashed and forgot the run does not run it again, and the client gets an error", async () => {
      const stream = await client.chat.completions.create(
        says("hi [[fake deltas=100 delay=50]]", { stream: true }),
      );
      let crashed;
      await assert.rejects(
        (async () => {
          for await (const { choices } of stream)
            if (choices[0]?.delta.content) crashed ??= front.sim.crash();
        })(),
        (error) => error instanceof OpenAI.APIError && error.code === "gateway_connection_lost",
      );
      await crashed;
      await oneRun();
      const line = await until("the line is there", () =>
        lines(front.worker).find(({ end }) => end === "gateway_connection_lost"),
      );
      assert.equal(line.cause, "run_unknown");
    });

    test("the same without a stream is an error that the SDK does not repeat", async () => {
      const answer = client.chat.completions.create(says("hi [[fake deltas=100 delay=50]]"));
      await until("the run began", async () => (await front.sim.journal()).runs.length === 1);
      await front.sim.crash();
      await assert.rejects(
        answer,
        (error) => error.status === 400 && error.code === "gateway_connection_lost",
      );
      await oneRun();
    });

    // On protocol 3 the gateway sends nothing between a loss and the run's end, and nothing could
    // stop the run.
    if (protocol === 4) {
      test("a client that leaves after a connection was lost stops the run", async () => {
        const controller = new AbortController();
        const stream = await client.chat.completions.create(
          says("hi [[fake deltas=400 delay=25 drop=5]]", { stream: true }),
          { signal: controller.signal },
        );
        let text = "";
        for await (const { choices } of stream) {
          text += choices[0]?.delta.content ?? "";
          if (text.length > 100) controller.abort();
        }
        await until(
          "the run is stopped",
          async () => (await front.sim.journal()).runs[0].ended === "aborted",
          5_000,
        );
      });
    }
  });
}
