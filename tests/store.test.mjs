// Tests `src/hub/store.js` with a storage in memory: the rows of stored responses, because their
// limits are too large for a Worker in a test, and what waits for the rows of runs.

import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { Waiting } from "../src/hub/events.js";
import { Store } from "../src/hub/store.js";

/** Returns a storage as a Durable Object has it: rows in the order of their names. */
function storage() {
  const rows = new Map();
  const kv = {
    get: (name) => rows.get(name),
    put: (name, value) => {
      assert.ok(value.length <= 1_000_000, `the row ${name} is too long`);
      rows.set(name, value);
    },
    delete: (name) => rows.delete(name),
    list: ({ prefix, startAfter = "", reverse = false, limit }) => {
      const names = [...rows.keys()].filter((name) => name.startsWith(prefix)).sort();
      const all = names.filter((name) => name > startAfter).map((name) => [name, rows.get(name)]);
      return (reverse ? all.reverse() : all).slice(0, limit);
    },
  };
  const alarms = [];
  return {
    kv,
    rows,
    alarms,
    transactionSync: (work) => work(),
    setAlarm: async (at) => alarms.push(at),
  };
}

const open = () => {
  const state = { storage: storage() };
  return { store: new Store(state, new Waiting()), ...state.storage };
};

const DAY_MS = 86_400_000;

/** Stores a response that has ended. */
const keep = (store, name, { untilMs = DAY_MS, object = "{}", input = "" } = {}) =>
  store.keepResponse(
    name,
    `${untilMs}\tstored\trun-${name}\titems\t`,
    `run-${name}`,
    object,
    input,
  );

describe("the rows of stored responses", () => {
  test("a long text is in several rows, and comes back as it was", () => {
    const { store, rows } = open();
    const object = "ä😀".repeat(700_001);
    keep(store, "phone:resp_1", { object, input: "a\nb\n" });
    assert.equal(store.text("phone:resp_1", "object"), object);
    assert.equal(store.text("phone:resp_1", "input"), "a\nb\n");
    store.forgetResponse("phone:resp_1");
    assert.equal(rows.size, 0);
  });

  test("the responses whose time is over first make room for others of their key", () => {
    const { store } = open();
    keep(store, "other:resp_0", { untilMs: 1 });
    store.keepResponse("phone:resp_going", "0\tbackground\tr\ti\t", "r", "{}", "");
    for (let number = 0; number < 1001; number++)
      keep(store, `phone:resp_${number}`, { untilMs: DAY_MS - number });
    const isThere = (name) => store.response(name) !== undefined;
    // Of 1001 that have ended, the last but one was over first.
    assert.deepEqual(
      ["other:resp_0", "phone:resp_going", "phone:resp_0", "phone:resp_1000"].map(isThere),
      [true, true, true, true],
    );
    assert.equal(isThere("phone:resp_999"), false);
  });

  test("long texts make room, too", () => {
    const { store } = open();
    const object = "x".repeat(8_000_000);
    for (let number = 0; number < 14; number++)
      keep(store, `phone:resp_${number}`, { untilMs: DAY_MS + number, object });
    const there = [0, 1, 2].map((number) => store.response(`phone:resp_${number}`) !== undefined);
    assert.deepEqual(there, [false, true, true]);
  });

  test("an alarm deletes what is over, and is set for the next", () => {
    const { store, rows, alarms } = open();
    mock.timers.enable({ apis: ["Date"], now: 1_000 });
    try {
      keep(store, "phone:resp_1", { untilMs: 5 * DAY_MS });
      keep(store, "phone:resp_2", { untilMs: 9 * DAY_MS });
      assert.deepEqual(alarms, [5 * DAY_MS]);
      mock.timers.setTime(5 * DAY_MS - 1);
      store.sweep();
      assert.equal(alarms.at(-1), 5 * DAY_MS + 29_999);
      assert.ok(store.response("phone:resp_1"));
      mock.timers.setTime(5 * DAY_MS + 29_999);
      store.sweep();
      assert.equal(store.response("phone:resp_1"), undefined);
      assert.ok([...rows.keys()].every((name) => !name.includes("resp_1")));
      assert.equal(alarms.at(-1), 9 * DAY_MS);
      // Another hub has the alarm set again, whatever it was set to.
      const next = new Store(
        {
          storage: { ...storage(), kv: store.storage.kv, setAlarm: async (at) => alarms.push(at) },
        },
        new Waiting(),
      );
      next.sweep();
      assert.equal(alarms.at(-1), 9 * DAY_MS);
    } finally {
      mock.timers.reset();
    }
  });

  test("nothing of a deleted response is written again", () => {
    const { store, rows } = open();
    store.keepResponse("phone:resp_1", "0\tstream\tr\ti\t", "r", "{}", "a\n");
    store.keepBlock("phone:resp_1", 0, "event");
    assert.equal(store.goingResponses(), "r\tphone:resp_1");
    store.forgetResponses("phone");
    store.keepBlock("phone:resp_1", 1, "event");
    store.keepResponse("phone:resp_1", "9\tstream\tr\ti\t", "r", "{}", undefined);
    assert.equal(rows.size, 0);
  });

  test("a key whose name begins another's keeps its own", () => {
    const { store } = open();
    for (const name of ["a:resp_1", "ab:resp_1"]) keep(store, name);
    store.forgetResponses("a");
    assert.equal(store.response("a:resp_1"), undefined);
    assert.ok(store.response("ab:resp_1"));
  });

  /** Returns an event of a stream. */
  const event = (number, text = "x") =>
    `event: response.x\ndata: {"type":"response.x","sequence_number":${number},"delta":${JSON.stringify(text)}}\n\n`;

  /** Makes a response in the background with these blocks. */
  function streamed(blocks) {
    const { store } = open();
    store.keepResponse("phone:resp_1", "0\tstream\tr\ti\t", "r", "{}", "");
    for (const [number, events] of blocks.entries())
      store.keepBlock("phone:resp_1", number, events);
    return store;
  }
  const end = (store) =>
    store.keepResponse("phone:resp_1", "9\tstream\tr\ti\t", "r", "{}", undefined);
  const read = async (store, last) => new Response(store.events("phone:resp_1", last)).text();

  test("a reader begins after each event, wherever the rows end", async () => {
    const hostile = '"\n\nevent: response.x\ndata: {"type":"response.x","sequence_number":0,';
    const long = "😀".repeat(300_000);
    const events = ["a", long, hostile, "b", `${long}a${long}`, "", hostile].map((text, number) =>
      event(number, text),
    );
    const store = streamed([
      events.slice(0, 3).join(""),
      events.slice(3, 4).join(""),
      events.slice(4).join(""),
    ]);
    assert.equal(store.lastEvent("phone:resp_1"), events.length - 1);
    end(store);
    assert.ok((await read(store)) === events.join(""));
    for (let last = 0; last <= events.length; last++) {
      const text = await read(store, last);
      assert.ok(text === events.slice(last + 1).join(""), `after ${last}: ${text.length}`);
    }
  });

  test("a reader gets the events that follow, and the end", async () => {
    const store = streamed([event(0)]);
    const reading = read(store, 0);
    store.keepBlock("phone:resp_1", 0, event(0) + event(1));
    await new Promise(setImmediate);
    store.keepBlock("phone:resp_1", 0, event(0) + event(1) + event(2));
    store.keepBlock("phone:resp_1", 1, event(3));
    end(store);
    assert.equal(await reading, event(1) + event(2) + event(3));
  });

  test("a reader that does not read takes nothing", async () => {
    const store = streamed([event(0, "x".repeat(100_000))]);
    const { kv } = store.storage;
    let reads = 0;
    store.storage.kv = { ...kv, get: (name) => kv.get(name, reads++) };
    const reader = store.events("phone:resp_1").getReader();
    await new Promise(setImmediate);
    assert.equal(reads, 0);
    const { value } = await reader.read();
    assert.ok(value.length < 40_000);
    await reader.cancel();
  });

  test("the stream of a response that is deleted breaks off", async () => {
    const store = streamed([event(0)]);
    const reading = read(store);
    store.forgetResponse("phone:resp_1");
    await assert.rejects(reading);
  });

  test("the readers of a key that is not valid any more end, and no others", async () => {
    const store = streamed([event(0)]);
    store.keepResponse("phone2:resp_1", "0\tstream\tr2\ti\t", "r2", "{}", "");
    store.keepBlock("phone2:resp_1", 0, event(0));
    const text = (name) => new Response(store.events(name, undefined, "expired")).text();
    const reading = ["phone:resp_1", "phone2:resp_1"].map(text);
    await new Promise(setImmediate);
    store.endReaders("phone");
    assert.equal(await reading[0], `${event(0)}expired`);
    store.keepBlock("phone2:resp_1", 0, event(0) + event(1));
    store.keepResponse("phone2:resp_1", "9\tstream\tr2\ti\t", "r2", "{}", undefined);
    assert.equal(await reading[1], event(0) + event(1));
    // A key that is valid again has other readers.
    const again = read(store);
    end(store);
    assert.equal(await again, event(0));
  });

  test("a reader ends when its key expires, also one that reads slowly", async () => {
    const store = streamed([event(0, "x".repeat(100_000))]);
    end(store);
    const endsS = Math.ceil(Date.now() / 1000) + 1;
    const reader = store.events("phone:resp_1", undefined, "expired", endsS).getReader();
    assert.ok((await reader.read()).value.length < 40_000);
    await sleep(endsS * 1000 - Date.now());
    const { value } = await reader.read();
    assert.equal(new TextDecoder().decode(value), "expired");
    assert.ok((await reader.read()).done);
  });

  test("the events of a stream that is too long are not kept", () => {
    const { store } = open();
    store.keepResponse("phone:resp_1", "0\tstream\tr\ti\t", "r", "{}", "");
    for (const number of [0, 1]) store.keepBlock("phone:resp_1", number, `event ${number}`);
    assert.equal(store.blocks("phone:resp_1"), 2);
    assert.equal(store.lastEvent("phone:resp_1"), undefined);
    store.keepBlock("phone:resp_1", 2, undefined);
    assert.equal(store.text("phone:resp_1", "events"), "");
  });
});

describe("frames to the gateway", () => {
  const GOING = "0\tphone";
  const ENDED = `${DAY_MS}\tphone`;

  /** A store whose rows are stored, or lost, when the test says so, and what a socket got. */
  function waiting() {
    const syncs = [];
    const state = storage();
    const done = async () => {};
    Object.assign(state, { put: done, sync: () => new Promise((...ends) => syncs.push(ends)) });
    const sent = [];
    const socket = { send: (frame) => sent.push(frame), close: () => sent.push("close") };
    const store = new Store({ storage: state }, new Waiting());
    return { store, socket, sent, syncs };
  }

  test("wait for the rows of the runs before them, in their order", async () => {
    const { store, socket, sent, syncs } = waiting();
    store.send(socket, "a");
    store.keepRun("1", GOING);
    store.send(socket, "b");
    store.keepRun("2", GOING);
    store.send(socket, "c");
    store.close(socket);
    const { stored } = store;
    for (const [index, expected] of [
      [1, ["a"]],
      [0, ["a", "b", "c", "close"]],
    ]) {
      syncs[index][0]();
      await turn();
      assert.deepEqual(sent, expected);
    }
    await stored;
    assert.equal(store.stored, undefined);
    store.keepRun("1", ENDED);
    store.send(socket, "d");
    assert.equal(sent.at(-1), "d");
    assert.equal(syncs.length, 2);
  });

  test("one that was sent does not free a later one", async () => {
    const { store, socket, sent, syncs } = waiting();
    store.keepRun("1", GOING);
    store.send(socket, "a");
    store.keepRun("2", GOING);
    store.send(socket, "b");
    syncs[0][0]();
    await turn();
    store.send(socket, "c");
    assert.deepEqual(sent, ["a"]);
    syncs[1][0]();
    await turn();
    assert.deepEqual(sent, ["a", "b", "c"]);
  });

  test("are not sent if a row before them is lost", async () => {
    const { store, socket, sent, syncs } = waiting();
    store.keepRun("1", GOING);
    store.send(socket, "a");
    const { stored } = store;
    syncs[0][1](new Error("full"));
    await assert.rejects(stored, /full/);
    store.send(socket, "b");
    await turn();
    assert.deepEqual(sent, []);
  });
});
