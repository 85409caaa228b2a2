// Tests `GET /v1/responses/{id}/input_items`, in workerd against the simulated gateway: the items
// that a client sent, in pages.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sdk, startFront } from "./support/front.mjs";
import { PIXEL } from "./support/prompts.mjs";
import { isError, ok, responsesOf } from "./support/stored.mjs";

const IMAGE = `data:image/png;base64,${PIXEL}`;

/** A message of a client, as the list has it. */
const message = (text) => ["message", "user", [{ type: "input_text", text }]];

/** Returns the type, role and content of items. */
const shapes = (items) => items.map(({ type, role, content }) => [type, role, content]);

/** Checks the fields around the items of a page, and that each item has an id of its own. */
function isPage({ object, data, first_id, last_id }) {
  assert.equal(object, "list");
  const ids = data.map(({ id }) => id);
  assert.ok(
    ids.every((id) => typeof id === "string" && id.length > 0),
    JSON.stringify(data),
  );
  assert.equal(new Set(ids).size, ids.length, ids.join(" "));
  if (ids.length > 0) assert.deepEqual([first_id, last_id], [ids[0], ids.at(-1)]);
}

describe("input items", () => {
  let front, api;
  before(async () => {
    front = await startFront();
    api = responsesOf(front.worker, front.phone);
  });
  after(() => front?.stop());

  const page = async (id, query) => {
    const body = ok(await api.items(id, query));
    isPage(body);
    return body;
  };
  const stored = async (input, fields) =>
    ok(await api.create(input, { store: true, ...fields })).id;

  test("a text is one message", async () => {
    const text = "hi [[fake deltas=1]]";
    // Source: azure-ai-agentserver-responses 2.3.0, measured.
    for (const fields of [{ store: true }, { background: true }]) {
      const { id } = ok(await api.create(text, fields));
      const { data, has_more } = await page(id);
      assert.deepEqual([shapes(data), has_more], [[message(text)], false]);
      assert.match(data[0].id, /^msg_/);
      assert.equal(data[0].status, "completed");
      assert.deepEqual((await page(id)).data, data, "the ids stay");
    }
  });

  test("they are there while the run goes on", async () => {
    const { id } = await api.begin("hi [[fake deltas=3 stall=1]]");
    assert.equal((await page(id)).data.length, 1);
    await front.sim.resume();
    await api.ended(id);
    assert.equal((await page(id)).data.length, 1);
  });

  test("messages, images, calls and results come back as they were sent", async () => {
    const id = await stored([
      { role: "user", content: "one" },
      {
        type: "message",
        role: "assistant",
        content: [{ type: "output_text", text: "two", annotations: [] }],
      },
      { type: "function_call", call_id: "call_1", name: "look", arguments: '{"at":1}' },
      { type: "function_call_output", call_id: "call_1", output: "sunny" },
      {
        role: "user",
        content: [
          { type: "input_text", text: "three [[fake deltas=1]]" },
          { type: "input_image", detail: "auto", image_url: IMAGE },
        ],
      },
    ]);
    const { data } = await page(
      id,
      "?order=asc&include[]=message.input_image.image_url&include=message.input_image.image_url",
    );
    const seen = JSON.stringify(data);
    assert.deepEqual(
      data.map(({ type }) => type),
      ["message", "message", "function_call", "function_call_output", "message"],
      seen,
    );
    const [one, two, call, result, three] = data;
    assert.deepEqual(shapes([one]), [message("one")], seen);
    assert.deepEqual([two.role, two.content[0].text], ["assistant", "two"], seen);
    assert.deepEqual(
      [call.call_id, call.name, call.arguments],
      ["call_1", "look", '{"at":1}'],
      seen,
    );
    assert.deepEqual([result.call_id, result.output], ["call_1", "sunny"], seen);
    assert.deepEqual(
      three.content.map(({ type }) => type),
      ["input_text", "input_image"],
      seen,
    );
    assert.equal(three.content[0].text, "three [[fake deltas=1]]");
    assert.equal(three.content[1].image_url, IMAGE);
  });

  test("the newest are first, in pages that follow each other", async () => {
    const texts = Array.from({ length: 5 }, (_, index) => `m${index}`);
    texts.push("last [[fake deltas=1]]");
    const id = await stored(texts.map((content) => ({ role: "user", content })));
    const newest = texts.toReversed().map(message);
    const oldest = texts.map(message);
    assert.deepEqual(shapes((await page(id)).data), newest);
    assert.deepEqual(shapes((await page(id, "?order=desc")).data), newest);
    assert.deepEqual(shapes((await page(id, "?order=asc")).data), oldest);
    for (const [order, all] of [
      ["desc", newest],
      ["asc", oldest],
    ]) {
      const first = await page(id, `?order=${order}&limit=4`);
      assert.deepEqual([shapes(first.data), first.has_more], [all.slice(0, 4), true]);
      const second = await page(id, `?order=${order}&limit=4&after=${first.last_id}`);
      assert.deepEqual([shapes(second.data), second.has_more], [all.slice(4), false]);
      const none = await page(id, `?order=${order}&after=${second.last_id}`);
      assert.deepEqual([none.data, none.has_more], [[], false]);
      const exact = await page(id, `?order=${order}&limit=${all.length}`);
      assert.deepEqual([exact.data.length, exact.has_more], [all.length, false]);
      const walked = [];
      const { inputItems } = sdk(front.worker, front.phone).responses;
      for await (const item of inputItems.list(id, { order, limit: 2 })) walked.push(item);
      assert.deepEqual(shapes(walked), all);
    }
  });

  test("a page has 20 items without a limit, and at most 100", async () => {
    const texts = Array.from({ length: 104 }, (_, index) => `m${index}`);
    texts.push("last [[fake deltas=1]]");
    const id = await stored(texts.map((content) => ({ role: "user", content })));
    for (const [query, count] of [
      ["", 20],
      ["?limit=1", 1],
      ["?limit=100", 100],
    ]) {
      const { data, has_more } = await page(id, query);
      assert.deepEqual([data.length, has_more], [count, true], query);
    }
    let count = 0;
    for await (const _ of sdk(front.worker, front.phone).responses.inputItems.list(id)) count++;
    assert.equal(count, texts.length);
  });

  test("a wrong limit or order is refused by name", async () => {
    const id = await stored("hi [[fake deltas=1]]");
    // Source: azure-ai-agentserver-responses 2.3.0, measured.
    for (const [query, param] of [
      ["?limit=0", "limit"],
      ["?limit=101", "limit"],
      ["?limit=-1", "limit"],
      ["?limit=two", "limit"],
      ["?order=up", "order"],
    ])
      isError(await api.items(id, query), 400, { type: "invalid_request_error", param });
  });

  test("an unknown cursor is refused, or has no effect", async () => {
    const id = await stored("hi [[fake deltas=1]]");
    // Source: azure-ai-agentserver-responses 2.3.0, measured: it has no effect.
    const answer = await api.items(id, "?after=msg_unknown");
    if (answer.status !== 200) isError(answer, 400, { param: "after" });
    else assert.equal(answer.body.data.length, 1);
  });
});
