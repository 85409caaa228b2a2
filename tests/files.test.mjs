// Tests links to files of an answer: who can open one, for how long, and what it never does.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { admin, createKey, startAdminFront } from "./support/admin.mjs";
import { collect, newKey, post, sdk, startFront } from "./support/front.mjs";
import { startKillable } from "./support/killable.mjs";

const SECRET = "0123456789abcdef0123456789abcdef";
const DIRECTORY = "/srv/openclaw/ws";

const phone = newKey("pics", "main");

const encoded = (text) => Buffer.from(text).toString("base64url");
const names = (...paths) => paths.map((path) => `media=${encoded(path)}`).join(" ");
const says = (words, fields) => ({
  model: "openclaw",
  messages: [{ role: "user", content: `hi [[fake ${words}]]` }],
  ...fields,
});
const linksIn = (text) => [...text.matchAll(/\]\((\S+?)\)/g)].map(([, url]) => url);
const bytesOf = (length) => Uint8Array.from({ length }, (_, place) => place % 251);

describe("links to files", () => {
  let front;
  const other = newKey("stranger", "main");
  const plain = newKey("nolinks", "main", "--files", "off");
  const near = newKey("at-home", "main", "--networks", "203.0.113.0/24");

  const ask = async (key, words, fields) => {
    const answer = await sdk(front.worker, key).chat.completions.create(says(words, fields));
    return answer.choices[0].message.content;
  };
  const open = (url, init) => fetch(url, { redirect: "manual", ...init });
  const as = (key) => ({ headers: { authorization: `Bearer ${key.key}` } });
  const refusal = async (response) => {
    const { error } = await response.json();
    return [response.status, error.code];
  };
  const gone = [404, "file_not_found"];

  before(async () => {
    const entries = [phone.entry, other.entry, plain.entry, near.entry];
    front = await startAdminFront({ entries });
  });
  beforeEach(() => front.sim.reset());
  after(() => front?.stop());

  test("an image opens without a key, and no path of the gateway's host is shown", async () => {
    const text = await ask(phone, `deltas=2 ${names(`${DIRECTORY}/red square.png`)}`);
    const [url] = linksIn(text);
    assert.equal(text, `w0 w1\n\n![red square.png](${url})`);
    assert.ok(url.startsWith(`${front.worker.url}/v1/files/file-`), url);
    const response = await open(url);
    assert.equal(response.status, 200);
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytesOf(80));
    const header = (name) => response.headers.get(name);
    assert.equal(header("content-type"), "image/png");
    assert.equal(header("content-disposition"), "inline; filename*=UTF-8''red%20square.png");
    assert.equal(header("content-length"), "80");
    assert.equal(header("x-content-type-options"), "nosniff");
    assert.equal(header("content-security-policy"), "sandbox; default-src 'none'");
    assert.equal(header("cross-origin-resource-policy"), "cross-origin");
  });

  test("the answer is the same streamed and whole, on both endpoints", async () => {
    const words = `deltas=2 ${names("/a.png", "./b.wav")}`;
    const shape = (text) => text.replace(/\(\S+?\)/g, "()");
    const expected = "w0 w1\n\n![a.png]()\n\n[b.wav]()";
    assert.equal(shape(await ask(phone, words)), expected);
    const client = sdk(front.worker, phone);
    const streamed = await collect(
      await client.chat.completions.create(says(words, { stream: true })),
    );
    assert.equal(shape(streamed.text), expected);
    const input = says(words).messages[0].content;
    const response = await client.responses.create({ model: "openclaw", input });
    assert.equal(shape(response.output_text), expected);
    const stream = client.responses.stream({ model: "openclaw", input });
    assert.equal(shape((await stream.finalResponse()).output_text), expected);
  });

  test("a link is in an answer of files alone, once for each file, and for 16 at most", async () => {
    const text = await ask(phone, `deltas=0 ${names("/a.png", "/a.png", "/b.pdf")}`);
    assert.match(text, /^!\[a\.png\]\(\S+\)\n\n\[b\.pdf\]\(\S+\)$/);
    const many = Array.from({ length: 20 }, (_, index) => `/${index}.png`);
    const long = await ask(phone, `deltas=1 ${names(...many)}`);
    assert.equal(linksIn(long).length, 16);
    assert.ok(long.endsWith("\n\nThe agent produced 20 files."), long);
    const more = await ask(phone, `deltas=1 ${names(...many.slice(0, 17))}`);
    assert.ok(more.endsWith("\n\nThe agent produced 17 files."), more);
  });

  test("a file elsewhere keeps its URL, and is never fetched", async () => {
    const text = await ask(phone, `deltas=1 ${names("https://files.example/a(1).png")}`);
    assert.equal(text, "w0\n\n![a_1_.png](https://files.example/a%281%29.png)");
  });

  test("nothing of a page runs: other types are saved, not shown", async () => {
    const text = await ask(phone, `deltas=1 ${names("/a.html", "/b.svg", "/c.pdf")}`);
    const types = [];
    for (const url of linksIn(text)) {
      const { headers } = await open(url);
      types.push([headers.get("content-type"), headers.get("content-disposition").split(";")[0]]);
    }
    assert.deepEqual(types, [
      ["application/octet-stream", "attachment"],
      ["application/octet-stream", "attachment"],
      ["application/pdf", "attachment"],
    ]);
  });

  test("parts of a file, its head and its description", async () => {
    const [url] = linksIn(await ask(phone, `deltas=1 ${names("/song.wav")}`));
    const part = async (range) => {
      const response = await open(url, { headers: { range } });
      const bytes = new Uint8Array(await response.arrayBuffer());
      return [response.status, response.headers.get("content-range"), bytes];
    };
    const whole = bytesOf(3000);
    assert.deepEqual(await part("bytes=10-19"), [206, "bytes 10-19/3000", whole.slice(10, 20)]);
    assert.deepEqual(await part("bytes=-5"), [206, "bytes 2995-2999/3000", whole.slice(2995)]);
    assert.deepEqual(await part("bytes=0-1,5-6"), [200, null, whole]);
    const beyond = await part("bytes=9000-");
    assert.deepEqual(beyond.slice(0, 2), [416, "bytes */3000"]);
    assert.equal(beyond[2].length, 0);
    const head = await open(url, { method: "HEAD" });
    assert.deepEqual([head.status, head.headers.get("content-type")], [200, "audio/wav"]);
    const id = new URL(url).pathname.split("/")[3];
    const client = sdk(front.worker, phone);
    const { created_at, expires_at, ...file } = await client.files.retrieve(id);
    assert.deepEqual(file, {
      ...{ id, object: "file", bytes: 3000, filename: "song.wav" },
      ...{ purpose: "assistants_output", status: "processed" },
    });
    assert.equal(expires_at - created_at, 30 * 86_400);
    const content = await client.files.content(id);
    assert.deepEqual(new Uint8Array(await content.arrayBuffer()), whole);
  });

  test("a large file comes whole, and one beyond the limit only in parts", async () => {
    const [big, huge] = linksIn(await ask(phone, `deltas=1 ${names("/a.big", "/b.huge")}`));
    const bytes = new Uint8Array(await (await open(big)).arrayBuffer());
    assert.equal(Buffer.compare(bytes, bytesOf(3_000_000)), 0);
    const refused = await open(huge);
    const { error } = await refused.json();
    assert.deepEqual([refused.status, error.param], [400, "range"]);
    const part = await open(huge, { headers: { range: "bytes=100-101" } });
    assert.equal(part.status, 206);
  });

  test("only its own key opens a file, and nobody a forged one", async () => {
    const [url] = linksIn(await ask(phone, `deltas=1 ${names("/a.png")}`));
    const object = url.replace("/content", "");
    assert.equal((await open(url, as(phone))).status, 200);
    assert.equal((await open(object, as(phone))).status, 200);
    assert.deepEqual(await refusal(await open(url, as(other))), gone);
    assert.deepEqual(await refusal(await open(object, as(other))), gone);
    // The description has no reader without a key.
    assert.deepEqual(await refusal(await open(object)), [401, "invalid_api_key"]);
    const id = new URL(url).pathname.split("/")[3];
    const connections = async () => (await front.sim.journal()).connections?.length;
    const before = await connections();
    const last = id.endsWith("a") ? "b" : "a";
    for (const forged of [
      `${id.slice(0, -1)}${last}`,
      id.slice(0, -8),
      `file-${"a".repeat(40)}`,
      "..%2f..%2fetc%2fpasswd",
      "file-1",
    ]) {
      const address = `${front.worker.url}/v1/files/${forged}/content`;
      assert.deepEqual(await refusal(await open(address)), [401, "invalid_api_key"], forged);
      assert.deepEqual(await refusal(await open(address, as(phone))), gone, forged);
    }
    assert.equal(await connections(), before);
  });

  test("a link is of the network that its key is of", async () => {
    const asker = sdk(front.worker, near, {
      defaultHeaders: { "cf-connecting-ip": "203.0.113.7" },
    });
    const answer = await asker.chat.completions.create(says(`deltas=1 ${names("/a.png")}`));
    const [url] = linksIn(answer.choices[0].message.content);
    const from = (address) => open(url, { headers: { "cf-connecting-ip": address } });
    assert.equal((await from("203.0.113.9")).status, 200);
    assert.deepEqual(await refusal(await from("198.51.100.1")), gone);
  });

  test("a revoked or disabled key ends its links", async () => {
    const guest = await createKey(front, "visitor");
    const [url] = linksIn(await ask(guest, `deltas=1 ${names("/a.png")}`));
    assert.equal((await open(url)).status, 200);
    const change = async (method, body) => {
      const { status } = await admin(front.worker, front.ops, method, "/keys/visitor", body);
      assert.equal(status, 200);
    };
    await change("POST", { disabled: true });
    assert.deepEqual(await refusal(await open(url)), gone);
    await change("POST", { disabled: false });
    assert.equal((await open(url)).status, 200);
    await change("DELETE");
    assert.deepEqual(await refusal(await open(url)), gone);
    // Another key with the same id has other files.
    await createKey(front, "visitor");
    assert.deepEqual(await refusal(await open(url)), gone);
  });

  test("a key that may not use the agent any more has not its files", async () => {
    const guest = await createKey(front, "reader", {
      agents: ["main", "beta"],
      default_agent: "main",
    });
    const [url] = linksIn(await ask(guest, `deltas=1 ${names("/a.png")}`));
    const change = (body) => admin(front.worker, front.ops, "POST", "/keys/reader", body);
    for (const [without, again] of [
      [
        { agents: ["beta"], default_agent: "beta" },
        { agents: ["main"], default_agent: "main" },
      ],
      [{ files: false }, { files: true }],
    ]) {
      assert.equal((await change(without)).status, 200);
      assert.deepEqual(await refusal(await open(url)), gone);
      assert.deepEqual(await refusal(await open(url.replace("/content", ""), as(guest))), gone);
      assert.equal((await change(again)).status, 200);
      assert.equal((await open(url)).status, 200);
    }
  });

  test("guesses at links of keys that are gone are limited", async () => {
    const guest = await createKey(front, "leaver");
    const [url] = linksIn(await ask(guest, `deltas=1 ${names("/a.png")}`));
    await admin(front.worker, front.ops, "DELETE", "/keys/leaver");
    const headers = { "cf-connecting-ip": "198.51.100.77" };
    let last;
    for (let attempt = 0; attempt < 60 && last?.[0] !== 429; attempt++)
      last = await refusal(await open(url, { headers }));
    assert.deepEqual(last, [429, "too_many_failed_attempts"]);
  });

  test("a file that the gateway has no more, or that leads elsewhere", async () => {
    const text = await ask(phone, `deltas=1 ${names("/gone.txt", "/moved.png", "/login.png")}`);
    const [missing, moved, login] = linksIn(text);
    assert.deepEqual(await refusal(await open(missing)), gone);
    for (const url of [moved, login])
      assert.deepEqual(await refusal(await open(url)), [502, "gateway_refused"], url);
  });

  test("without links: a key with files=off, a format, a forced call, and a stop sequence", async () => {
    assert.equal(await ask(plain, `deltas=1 ${names("/a.png")}`), "w0");
    assert.equal(
      await ask(plain, `deltas=0 ${names("/a.png")}`),
      "The agent produced 1 file, which this API cannot deliver.",
    );
    const format = { response_format: { type: "json_object" } };
    const json = await ask(phone, `text=${encoded('{"a":1}')} ${names("/a.png")}`, format);
    assert.equal(json, '{"a":1}');
    assert.equal(await ask(phone, `deltas=1 ${names("/a.png")}`, { stop: ["files"] }), "w0");
    const forced = {
      tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
      tool_choice: { type: "function", function: { name: "f" } },
    };
    const response = await post(
      front.worker,
      phone,
      says(`text=${encoded("{}")} ${names("/a.png")}`, forced),
    );
    const { choices } = await response.json();
    assert.equal(choices[0].message.tool_calls[0].function.arguments, "{}");
    assert.equal(choices[0].message.content, null);
  });

  test("the agent does not see the links of its own answers", async () => {
    const first = says(`deltas=2 ${names("/a.png")}`).messages[0];
    const answer = await ask(phone, `deltas=2 ${names("/a.png")}`);
    const messages = [
      first,
      { role: "assistant", content: answer },
      { role: "user", content: "and now? [[fake echo=1]]" },
    ];
    const echo = await ask(phone, "", { messages });
    assert.ok(echo.includes("w0 w1") && !echo.includes("/v1/files/"), "a link was sent");
  });

  test("a link says https where a proxy ended TLS", async () => {
    const client = sdk(front.worker, phone, { defaultHeaders: { "x-forwarded-proto": "https" } });
    const answer = await client.chat.completions.create(says(`deltas=1 ${names("/a.png")}`));
    const [url] = linksIn(answer.choices[0].message.content);
    assert.equal(url.split("/v1/")[0], front.worker.url.replace("http://", "https://"));
  });
});

test("a link outlives a kill of the hub", async () => {
  const front = await startKillable({ entries: [phone.entry], vars: { KEYS_SECRET: SECRET } });
  try {
    const answer = await sdk(front.worker, phone).chat.completions.create(
      says(`deltas=1 ${names("/a.png")}`),
    );
    const [url] = linksIn(answer.choices[0].message.content);
    const other = await front.kill(front.worker);
    const { pathname } = new URL(url);
    assert.equal((await fetch(`${other.url}${pathname}`)).status, 200);
  } finally {
    await front.stop();
  }
});

test("without links: a deployment whose proxy takes the header of the token", async () => {
  const GATEWAY_HEADERS = "authorization: Basic eDp5";
  const front = await startAdminFront({ entries: [phone.entry], vars: { GATEWAY_HEADERS } });
  try {
    const answer = await sdk(front.worker, phone).chat.completions.create(
      says(`deltas=1 ${names("/a.png")}`),
    );
    assert.equal(answer.choices[0].message.content, "w0");
  } finally {
    await front.stop();
  }
});

test("a link has the host that the operator sets", async () => {
  const PUBLIC_URL = "https://claw.example.com/";
  const front = await startAdminFront({ entries: [phone.entry], vars: { PUBLIC_URL } });
  try {
    const answer = await sdk(front.worker, phone).chat.completions.create(
      says(`deltas=1 ${names("/a.png")}`),
    );
    const [url] = linksIn(answer.choices[0].message.content);
    assert.ok(url.startsWith(`${PUBLIC_URL}v1/files/file-`), url);
  } finally {
    await front.stop();
  }
});

test("protocol 3 and a deployment without KEYS_SECRET say how many files there are", async () => {
  for (const options of [{ protocol: 3, vars: { KEYS_SECRET: SECRET } }, { protocol: 4 }]) {
    const front = await startFront({ entries: [phone.entry], ...options });
    try {
      const answer = await sdk(front.worker, phone).chat.completions.create(
        says(`deltas=0 ${names("/a.png")}`),
      );
      const text = "The agent produced 1 file, which this API cannot deliver.";
      assert.equal(answer.choices[0].message.content, text, JSON.stringify(options.protocol));
    } finally {
      await front.stop();
    }
  }
});
