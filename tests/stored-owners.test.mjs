// Tests who has a stored response and for how long, in workerd against the simulated gateway: its
// key alone, until the response is deleted or the key is revoked.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { admin, createKey, startAdminFront } from "./support/admin.mjs";
import { newKey, sdk, until } from "./support/front.mjs";
import { words } from "./support/prompts.mjs";
import {
  delta,
  isError,
  isUnknown,
  ok,
  outputText,
  readEvents,
  responsesOf,
} from "./support/stored.mjs";

const ORIGIN = "https://chat.example.com";

/** The digits of an id in an id that no response has. */
const other = (id) => id.replace(/.$/, (last) => (last === "0" ? "1" : "0"));

/** Each request about the response with this id. */
const requestsAbout = (id) => [
  ["GET", `/${id}`],
  ["GET", `/${id}?stream=true`],
  ["GET", `/${id}?stream=true&starting_after=2`],
  ["POST", `/${id}/cancel`],
  ["DELETE", `/${id}`],
  ["GET", `/${id}/input_items`],
];

describe("owners of stored responses", () => {
  const page = newKey("page", "main", "--origins", ORIGIN);
  let front, api;
  before(async () => {
    front = await startAdminFront({ entries: [page.entry] });
    api = responsesOf(front.worker, front.phone);
  });
  after(() => front?.stop());

  const manage = (...call) => admin(front.worker.edge, front.ops, ...call);

  /** Returns the ids of one response of each kind. */
  async function responsesOfEachKind() {
    const whole = ok(await api.create("hi [[fake deltas=2]]", { store: true }));
    const background = await api.begin("hi [[fake deltas=2]]");
    const streamed = await api.beginStream("hi [[fake deltas=2]]");
    const going = await api.begin("hi [[fake deltas=4 stall=2]]");
    await api.ended(background.id);
    await api.ended(streamed.id);
    return [whole, background, streamed, going].map(({ id }) => id);
  }

  test("another key's response is as unknown as one that never was", async () => {
    const ids = await responsesOfEachKind();
    const strangers = [front.guest, front.boss, await createKey(front, "stranger")];
    for (const stranger of strangers)
      for (const id of ids) {
        const theirs = requestsAbout(id);
        const nobodys = requestsAbout(other(id));
        for (const [index, [method, path]] of theirs.entries()) {
          const answers = await Promise.all(
            [theirs[index], nobodys[index]].map(async ([, path]) => {
              const response = await responsesOf(front.worker, stranger).send(method, path);
              return {
                status: response.status,
                headers: Object.fromEntries(response.headers),
                text: await response.text(),
              };
            }),
          );
          const [given, unknown] = answers.map(({ status, headers, text }) => {
            const {
              "x-request-id": request,
              "openai-processing-ms": _ms,
              date: _date,
              ...rest
            } = headers;
            const anonymous = text
              .replaceAll(request, "<request>")
              .replaceAll(id, "<id>")
              .replaceAll(other(id), "<id>");
            return { status, headers: rest, text: anonymous };
          });
          assert.equal(given.status, 404, `${method} ${path}: ${given.text}`);
          assert.deepEqual(given, unknown, `${method} ${path}`);
        }
      }
    // Nothing of it had an effect.
    assert.deepEqual(await Promise.all(ids.map(async (id) => (await api.found(id)).status)), [
      "completed",
      "completed",
      "completed",
      "in_progress",
    ]);
    await front.sim.resume();
    assert.equal(outputText(await api.ended(ids[3])), words(4));
  });

  test("an id of another shape is unknown", async () => {
    for (const id of ["resp_", "resp_1", `resp_${"0".repeat(72)}`, `resp_${"z".repeat(4000)}`])
      isUnknown(await api.get(id));
  });

  test("another key's response is no previous one", async () => {
    const { id } = await api.begin("hi [[fake deltas=1]]");
    await api.ended(id);
    const answer = await responsesOf(front.worker, front.boss).create("more", {
      model: "openclaw/main",
      previous_response_id: id,
      background: true,
    });
    isError(answer, 400, { param: "previous_response_id" });
  });

  test("a deleted response is unknown to every request", async () => {
    const { responses } = sdk(front.worker, front.phone);
    const going = await api.begin("hi [[fake deltas=4 stall=2]]");
    for (const { id } of [
      ok(await api.create("hi [[fake deltas=2]]", { store: true })),
      await api.begin("hi [[fake deltas=2]]"),
      await api.beginStream("hi [[fake deltas=2]]"),
    ]) {
      await api.ended(id);
      // Our contract. The peer and OpenAI's example have the object `response`. Source:
      // azure-ai-agentserver-responses 2.3.0, measured; openai-openapi 2.3.0, read.
      assert.deepEqual(await responses.delete(id), {
        id,
        object: "response.deleted",
        deleted: true,
      });
      for (const [method, path] of requestsAbout(id)) {
        const response = await api.send(method, path);
        assert.equal(response.status, 404, `${method} ${path}: ${await response.text()}`);
      }
      await assert.rejects(responses.retrieve(id), OpenAI.NotFoundError);
      await assert.rejects(responses.delete(id), OpenAI.NotFoundError);
    }
    await front.sim.resume();
    assert.equal(outputText(await api.ended(going.id)), words(4), "the others stay");
  });

  test("a response that is deleted while it is read is gone", async () => {
    const { id } = await api.beginStream("hi [[fake deltas=3]]");
    await api.ended(id);
    const stream = await api.replay(id);
    ok(await api.remove(id));
    const events = await readEvents(stream, { cut: true });
    if (events.length > 0) assert.equal(events[0].type, "response.created");
    isUnknown(await api.get(id));
  });

  test("a revoked key's responses are gone, also for the next key of its name", async () => {
    const first = await createKey(front, "lost");
    const theirs = responsesOf(front.worker, first);
    const ended = await theirs.begin("hi [[fake deltas=2]]");
    await theirs.ended(ended.id);
    const streamed = await theirs.beginStream("hi [[fake deltas=2]]");
    await theirs.ended(streamed.id);
    await front.sim.reset();
    const going = await theirs.begin("hi [[fake deltas=4 stall=2]]");
    assert.equal((await manage("DELETE", "/keys/lost")).status, 200);
    for (const { id } of [ended, streamed, going]) isError(await theirs.get(id), 401);
    await until("the run in the background is stopped", async () =>
      (await front.sim.journal()).runs.every(({ ended: end }) => end === "aborted"),
    );
    const second = await createKey(front, "lost");
    for (const { id } of [ended, streamed, going])
      for (const [method, path] of requestsAbout(id)) {
        const response = await responsesOf(front.worker, second).send(method, path);
        assert.equal(response.status, 404, `${method} ${path}: ${await response.text()}`);
      }
  });

  test("a rotated key has its responses under both secrets", async () => {
    const first = await createKey(front, "rotated");
    const { id } = await responsesOf(front.worker, first).begin("hi [[fake deltas=2]]");
    const { body } = await manage("POST", "/keys/rotated/rotate", { overlap_s: 3600 });
    for (const key of [first, { key: body.key }])
      assert.equal(outputText(await responsesOf(front.worker, key).ended(id)), words(2));
  });

  test("a disabled key reads nothing until it is enabled", async () => {
    const key = await createKey(front, "paused");
    const theirs = responsesOf(front.worker, key);
    const { id } = await theirs.begin("hi [[fake deltas=2]]");
    await theirs.ended(id);
    await manage("POST", "/keys/paused", { disabled: true });
    isError(await theirs.get(id), 401);
    await manage("POST", "/keys/paused", { disabled: false });
    assert.equal(outputText(await theirs.found(id)), words(2));
  });

  test("the readers of a key that is disabled end at once, with the reason", async () => {
    const key = await createKey(front, "read");
    const theirs = responsesOf(front.worker, key);
    const { id } = await theirs.beginStream("hi [[fake deltas=4 stall=2]]", delta(2));
    const readers = await Promise.all([theirs.replay(id), theirs.replay(id, 3)]);
    const texts = readers.map((reader) => reader.text());
    const beganAt = performance.now();
    await manage("POST", "/keys/read", { disabled: true });
    for (const text of await Promise.all(texts))
      assert.match(text, /event: error\ndata: .*"code":"api_key_expired".*\n\n/);
    assert.ok(performance.now() - beganAt < 1_000);
  });

  test("a web page may use every method", async () => {
    for (const method of ["GET", "POST", "DELETE"]) {
      const preflight = await fetch(`${front.worker.url}/v1/responses/resp_1`, {
        method: "OPTIONS",
        headers: { origin: ORIGIN, "access-control-request-method": method },
      });
      assert.equal(preflight.status, 204, method);
      const methods = preflight.headers.get("access-control-allow-methods").split(", ");
      assert.ok(methods.includes(method), methods.join(", "));
    }
  });

  test("other methods and other paths are refused", async () => {
    const { id } = await api.begin("hi [[fake deltas=1]]");
    await api.ended(id);
    for (const [method, path, status] of [
      ["PUT", `/${id}`, 405],
      ["POST", `/${id}`, 405],
      ["GET", `/${id}/cancel`, 405],
      ["POST", `/${id}/input_items`, 405],
      ["GET", "", 405],
      ["GET", `/${id}/output_items`, 404],
    ]) {
      const response = await api.send(method, path);
      assert.equal(response.status, status, `${method} ${path}: ${await response.text()}`);
    }
    const head = await api.send("HEAD", `/${id}`);
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });
});
