// Tests more requests than the hub takes, or one key may take of it: a clear error, and other keys
// are served.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import {
  collect,
  eventsOf,
  lines,
  newKey,
  post,
  says,
  sdk,
  startFront,
  until,
} from "./support/front.mjs";
import { words } from "./support/prompts.mjs";
import { openUpload } from "./support/upload.mjs";

/**
 * The share of one key in the hub's 256 places, and the share of each further key in the rest.
 */
const SHARES = [128, 64, 32, 16, 8, 4, 2, 1, 1];
const MAX_STREAMS = 256;
const MIB = 1024 * 1024;

/**
 * A connection for one request: the runtime may close one whose body was not read to its end, and
 * the next request would meet that.
 */
const ONCE = { connection: "close" };

const UNREAD = fileURLToPath(new URL("support/unread.py", import.meta.url));

/** A gzip file that claims to hold this many bytes. */
function ofLength(file, bytes) {
  file.writeUInt32LE(bytes, file.length - 4);
  return file;
}

/** A gzip file with this checksum of its content. */
function ofChecksum(file, checksum) {
  file.writeUInt32LE(checksum, file.length - 8);
  return file;
}

/** A gzip file whose header has an extra field, a name and a comment. */
function withFields(file) {
  const fields = Buffer.from([2, 0, 7, 7, ...Buffer.from("name\0comment\0")]);
  const header = Buffer.from(file.subarray(0, 10));
  header[3] = 0x1c;
  return Buffer.concat([header, fields, file.subarray(10)]);
}

/**
 * A streamed request of which the status line has been read and nothing more. `rest` reads the body
 * to the end.
 */
async function openUnread({ worker, phone }, body) {
  const child = spawn(
    "python3",
    [UNREAD, `${worker.url}/v1/chat/completions`, phone.key, JSON.stringify(body)],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  const out = child.stdout.setEncoding("utf8")[Symbol.asyncIterator]();
  const status = (await out.next()).value;
  return {
    status,
    stop: () => child.kill(),
    rest: async () => {
      child.stdin.end("\n");
      let text = "";
      for (let part = await out.next(); !part.done; part = await out.next()) text += part.value;
      return text;
    },
  };
}

for (const protocol of [4, 3]) {
  describe(`overload, protocol ${protocol}`, () => {
    let front;
    const keys = SHARES.map((_, index) => newKey(`share-${index}`, "main"));
    before(
      async () => (front = await startFront({ protocol, entries: keys.map(({ entry }) => entry) })),
    );
    after(() => front.stop());
    beforeEach(() => front.sim.reset());

    test("no key takes more than it leaves free, and the stream after the last is refused before anything is started", async () => {
      await until(
        "nothing is left of others",
        async () => (await front.sim.journal()).open_connections <= 1,
      );
      const controller = new AbortController();
      // Kept, because a response without a reference is cancelled once it is collected, and makes
      // room.
      const responses = [];
      for (const [index, share] of SHARES.entries()) {
        const open = Array.from({ length: share }, () =>
          post(front.worker, keys[index], says("hi [[fake stall=1]]", { stream: true }), {
            signal: controller.signal,
          }),
        );
        responses.push(...(await Promise.all(open)));
        const more = await post(front.worker, keys[index], says("hi"));
        const isLast = index === SHARES.length - 1;
        assert.ok(responses.every(({ status }) => status === 200));
        assert.deepEqual(
          [more.status, (await more.json()).error?.code],
          isLast ? [503, "too_many_streams"] : [429, "concurrent_runs_exceeded"],
        );
      }
      const refused = await post(front.worker, front.phone, says("hi"));
      assert.equal(refused.status, 503);
      assert.equal(refused.headers.get("retry-after"), "5");
      assert.equal((await refused.json()).error.code, "too_many_streams");
      const { runs, connections } = await front.sim.journal();
      assert.deepEqual([responses.length, runs.length], [MAX_STREAMS, MAX_STREAMS]);
      // All of them share one.
      assert.ok(connections <= 1, `${connections} connections`);
      // A client that left is noticed by the next heartbeat at the latest.
      controller.abort();
      await front.sim.crash();
      await until(
        "there is room",
        async () =>
          (await post(front.worker, front.phone, says("hi [[fake deltas=1]]"))).status === 200,
        30_000,
      );
      const ended = () =>
        new Set(lines(front.worker).flatMap(({ run, end }) => (end ? run : []))).size;
      await until("all have ended", () => ended() > MAX_STREAMS, 30_000);
      const seen = await collect(
        await sdk(front.worker, front.phone).chat.completions.create(
          says("hi [[fake deltas=2]]", { stream: true }),
        ),
      );
      assert.equal(seen.text, "w0 w1");
    });

    test("a client that does not read gets only the bytes that were kept for it, and no other request is harmed", async (t) => {
      const reading = collect(
        await sdk(front.worker, front.phone).chat.completions.create(
          says("hi [[fake deltas=60 delay=50]]", { stream: true }),
        ),
      );
      // 24 or 6 MiB in JSON: the share and the buffers of the sockets in between, with room.
      // Protocol 3 sends the whole text again in every frame.
      const bulk = protocol === 4 ? 64 : 16;
      const unread = await openUnread(
        front,
        says(`hi [[fake bulk=${bulk} delay=100]]`, { stream: true }),
      );
      t.after(unread.stop);
      assert.equal(unread.status.trim(), "200");
      const line = await until(
        "it is given up",
        () => lines(front.worker).find(({ end }) => end === "client_too_slow"),
        150_000,
      );
      assert.equal(line.status, 200);
      // Protocol 3 has no way to stop it.
      if (protocol === 4)
        await until(
          "its run is stopped",
          async () => (await front.sim.journal()).runs.at(-1).ended === "aborted",
        );
      assert.equal((await reading).text, words(60));
      const stream = await unread.rest();
      assert.ok(stream.endsWith("data: [DONE]\n\n"), stream.slice(-100));
      const data = eventsOf(stream);
      assert.equal(data.at(-1).error.code, "client_too_slow");
      const said = data.slice(0, -1).map(({ choices }) => choices[0].delta.content ?? "");
      assert.ok(data.slice(0, -1).every(({ choices }) => choices[0].finish_reason === null));
      assert.match(said.join(""), /^\u0001+$/);
    });
  });
}

describe("bodies that do not come", () => {
  const two = newKey("two", "main", "--runs", "2");
  let front;
  before(async () => (front = await startFront({ entries: [two.entry] })));
  after(() => front.stop());

  const concurrency = async ({ key }) =>
    (
      await (
        await fetch(`${front.worker.url}/v1/key`, { headers: { authorization: `Bearer ${key}` } })
      ).json()
    ).concurrent_runs;
  const reads = (key, count) =>
    until(`${count} bodies are being read`, async () => (await concurrency(key)).reading === count);
  const served = async (key) =>
    assert.equal((await post(front.worker, key, says("hi [[fake deltas=1]]"))).status, 200);

  test("a key's share is taken before its bodies are read, and its bearer sees that", async () => {
    const uploads = await Promise.all(
      [1, 2].map(() => openUpload(front.worker, two, { length: 1000, sent: "{" })),
    );
    await reads(two, 2);
    assert.deepEqual(await concurrency(two), { limit: 2, running: 0, reading: 2 });
    const refused = await post(front.worker, two, says("hi"));
    assert.deepEqual(
      [refused.status, (await refused.json()).error.code],
      [429, "concurrent_runs_exceeded"],
    );
    uploads[0].stop();
    await reads(two, 1);
    await served(two);
    // One that comes after all is served like any other.
    const body = JSON.stringify(says("hi [[fake deltas=1]]"));
    const late = await openUpload(front.worker, two, {
      length: body.length,
      sent: body.slice(0, 20),
    });
    await reads(two, 2);
    late.send(body.slice(20));
    assert.equal((await late.answer()).status, 200);
    for (const upload of [...uploads, late]) upload.stop();
    await reads(two, 0);
  });

  test("one key's bodies leave room for other keys, and a stranger's take none", async () => {
    const stalled = { length: 1000, sent: "{" };
    const stranger = newKey("two", "main");
    const strangers = await Promise.all(
      [1, 2, 3].map(() => openUpload(front.worker, stranger, stalled)),
    );
    for (const upload of strangers) assert.equal((await upload.answer()).status, 401);
    const uploads = await Promise.all(
      Array.from({ length: SHARES[0] }, () => openUpload(front.worker, front.phone, stalled)),
    );
    await reads(front.phone, SHARES[0]);
    const refused = await post(front.worker, front.phone, says("hi"));
    assert.deepEqual(
      [refused.status, (await refused.json()).error.code],
      [429, "concurrent_runs_exceeded"],
    );
    await served(two);
    for (const upload of [...uploads, ...strangers]) upload.stop();
    await reads(front.phone, 0);
    await served(front.phone);
  });

  test("a compressed body is decoded within the limit, and a coding that is not known is refused in words", async () => {
    const body = JSON.stringify(says("hi [[fake deltas=1]]"));
    const send = async (encoding, bytes) => {
      const response = await post(front.worker, front.phone, "", {
        body: bytes,
        headers: { "content-encoding": encoding, ...ONCE },
      });
      const { error, choices } = await response.json();
      return [
        response.status,
        error?.code ?? choices[0].message.content,
        response.headers.get("accept-encoding"),
      ];
    };
    for (const [encoding, bytes, expected] of [
      ["gzip", gzipSync(body), [200, "w0", null]],
      ["deflate", deflateSync(body), [200, "w0", null]],
      ["identity", body, [200, "w0", null]],
      // Far more than the room that it gets at first.
      ["deflate", deflateSync(body.padEnd(MIB)), [200, "w0", null]],
      ["gzip", gzipSync(body.padEnd(MIB)), [200, "w0", null]],
      ["gzip", body, [400, "invalid_request", null]],
      ["gzip", gzipSync(""), [400, "invalid_request", null]],
      ["deflate", deflateSync(""), [400, "invalid_request", null]],
      ["gzip", gzipSync(body).subarray(0, -1), [400, "invalid_request", null]],
      ["gzip", Buffer.concat([gzipSync(body), Buffer.alloc(8)]), [400, "invalid_request", null]],
      ["gzip", Buffer.concat([gzipSync(body), gzipSync(body)]), [400, "invalid_request", null]],
      ["gzip", ofLength(gzipSync(body), body.length - 1), [400, "invalid_request", null]],
      ["gzip", ofLength(gzipSync(body), body.length + 1), [400, "invalid_request", null]],
      ["gzip", withFields(gzipSync(body)), [200, "w0", null]],
      ["gzip", ofChecksum(gzipSync(body), 0), [400, "invalid_request", null]],
      ["deflate", deflateRawSync(body), [400, "invalid_request", null]],
      [
        "deflate",
        Buffer.concat([deflateSync(body), Buffer.alloc(1)]),
        [400, "invalid_request", null],
      ],
      ["deflate", deflateSync(body).subarray(0, 20), [400, "invalid_request", null]],
      ["zstd", body, [415, "unsupported_content_encoding", "gzip, deflate, identity"]],
      [
        "br",
        brotliCompressSync(body),
        [415, "unsupported_content_encoding", "gzip, deflate, identity"],
      ],
      ["gzip", gzipSync(Buffer.alloc(20 * MIB)), [413, "request_too_large", null]],
      ["deflate", deflateSync(Buffer.alloc(20 * MIB)), [413, "request_too_large", null]],
    ]) {
      assert.deepEqual(await send(encoding, bytes), expected, `${encoding} ${expected}`);
    }
    await reads(front.phone, 0);
  });

  test("what a body expands to beyond the limit takes no memory", {
    skip: process.platform !== "linux" && "only Linux counts the most memory of a process",
  }, async () => {
    const mostMib = () => {
      const status = readFileSync(`/proc/${front.worker.pid}/status`, "utf8");
      return Number(status.match(/^VmHWM:\s+(\d+) kB$/m)[1]) / 1024;
    };
    const zeros = Buffer.alloc(400 * MIB);
    const bombs = [
      // More than the limit, or than the key's share of all bodies.
      ["deflate", deflateSync(zeros), [413, 503]],
      ["gzip", ofLength(gzipSync(zeros), 12 * MIB), [400]],
    ];
    const before = mostMib();
    for (let round = 0; round < 8; round += 1)
      for (const [coding, body, statuses] of bombs) {
        const headers = { "content-encoding": coding, ...ONCE };
        const response = await post(front.worker, front.phone, "", { body, headers });
        await response.text();
        assert.ok(statuses.includes(response.status), `${coding} ${response.status}`);
      }
    const grownMib = mostMib() - before;
    assert.ok(grownMib < 64, `${grownMib} MiB`);
  });

  test("the large bodies of a key hold no more than they leave free, and small ones have their room", async () => {
    const upload = (key, mib) =>
      openUpload(front.worker, key, { length: mib * MIB, sent: "{".padEnd(mib * MIB - 1) });
    const [phone, guest] = [await upload(front.phone, 10), await upload(front.guest, 9)];
    // Blanks are decoded and refused in one step, so they take no room from the uploads while those
    // grow. 6.75 MiB fit beside 18 MiB of others, and not beside 19 MiB.
    const decode = async (key, mib) => {
      const response = await fetch(`${front.worker.url}/v1/chat/completions`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${key.key}`,
          "content-type": "application/json",
          "content-encoding": "gzip",
        },
        body: gzipSync(Buffer.alloc(mib * MIB, " ")),
      });
      await response.text();
      return response.status;
    };
    await until(
      "both bodies are there but for their ends",
      async () => (await decode(front.boss, 6.75)) === 503,
    );
    const refused = [await upload(front.phone, 12), await upload(front.boss, 12)];
    for (const upload of refused) {
      const { status, code, headers } = await upload.answer();
      assert.deepEqual([status, code, headers["retry-after"]], [503, "too_many_large_bodies", "5"]);
    }
    for (const key of [front.phone, front.boss]) await served(key);
    // A request that was given up makes room.
    phone.stop();
    await reads(front.phone, 0);
    assert.equal(await decode(front.boss, 10), 400);
    for (const upload of [guest, ...refused]) upload.stop();
    await reads(front.guest, 0);
  });

  test("bytes that are announced and not sent keep no other body out", async () => {
    const stalled = { length: 16 * MIB, sent: "{" };
    const uploads = [];
    for (const key of [front.phone, front.guest]) {
      uploads.push(await openUpload(front.worker, key, stalled));
      await reads(key, 1);
    }
    const response = await post(front.worker, front.boss, says("x".repeat(MIB)));
    assert.equal(response.status, 200);
    await response.text();
    for (const upload of uploads) upload.stop();
    await reads(front.phone, 0);
  });
});
