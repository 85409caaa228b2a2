// Tests that openapi.yaml describes every response of the Worker: it is a valid document, it has
// the routes and errors of the code and no others, and it declares the response to any request.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { ROOT } from "../scripts/paths.mjs";
import { startAdminFront } from "./support/admin.mjs";
import { newKey, startFront } from "./support/front.mjs";
import { api, assertDeclared, operations, resolve } from "./support/openapi.mjs";

const source = (path) => readFileSync(join(ROOT, path), "utf8");

describe("the document", () => {
  test("is valid, and every part of it is in use", async () => {
    const result = await new Validator().validate(structuredClone(api));
    assert.deepEqual(result, { valid: true });
    const text = JSON.stringify(api);
    for (const [kind, parts] of Object.entries(api.components)) {
      if (kind === "securitySchemes") continue;
      for (const name of Object.keys(parts))
        assert.ok(text.includes(`"#/components/${kind}/${name}"`), `${kind}/${name} is not in use`);
    }
    for (const [, ref] of text.matchAll(/"\$ref":"([^"]+)"/g))
      assert.ok(resolve({ $ref: ref }), `${ref} leads nowhere`);
    const ids = operations.map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(api.info.version, JSON.parse(source("package.json")).version);
  });

  test("has the routes of the code", () => {
    const arms = source("core/src/http/route.rs").match(
      /match segments\.as_slice\(\) \{(.*?)_ => return/s,
    )[1];
    const routes = new Set();
    const methodsOf = (name) => METHODS_OF[name] ?? [name];
    for (const [, patterns, name] of arms.matchAll(/(\[[^=]*?) => \{?\s*\(.*?, ([A-Z_]+)\)/gs)) {
      for (const pattern of patterns.split("|")) {
        const segments = [...pattern.matchAll(/"(\w+)"|\b(id)\b/g)].map(
          ([, name, id]) => name ?? `{${id}}`,
        );
        for (const method of methodsOf(name)) routes.add(`${method} /${segments.join("/")}`);
      }
    }
    assert.deepEqual(
      new Set(
        operations
          .filter(({ method }) => method !== "OPTIONS")
          .map(({ method, path }) => `${method} ${path}`),
      ),
      routes,
    );
  });

  test("has the errors of the code, as docs/errors.md lists them", () => {
    // core's own tests hold that list against the table in code.
    const listed = [
      ...source("docs/errors.md").matchAll(/^\| (\d+) \| `(\w+)` \| `(\w+)` \|/gm),
    ].map(([, ...row]) => row.join(" "));
    const declared = [];
    for (const { operation } of operations) {
      for (const [status, response] of Object.entries(operation.responses)) {
        const [, restriction] = resolve(response).content?.["application/json"]?.schema.allOf ?? [];
        if (!restriction) continue;
        const { type, code } = restriction.properties.error.properties;
        for (const one of code.enum)
          declared.push(type.enum.map((type) => `${status} ${type} ${one}`));
      }
    }
    const beforeTheAnswer = new Set(listed.filter((row) => !row.startsWith("499 ")));
    for (const row of beforeTheAnswer)
      assert.ok(
        declared.some((rows) => rows.includes(row)),
        `${row} is not declared`,
      );
    // On the Responses API, and once a run may have started, a 5xx is one of these.
    for (const row of [...beforeTheAnswer].filter((row) => row.startsWith("5"))) {
      const code = row.split(" ")[2];
      beforeTheAnswer.add(`408 api_error ${code}`).add(`400 invalid_request_error ${code}`);
    }
    for (const rows of declared)
      assert.ok(
        rows.some((row) => beforeTheAnswer.has(row)),
        `${rows} is not in the code`,
      );
    const { code } = api.components.schemas.ErrorObject.properties;
    assert.deepEqual(new Set(code.enum), new Set(listed.map((row) => row.split(" ")[2])));
  });
});

describe("the answers", () => {
  let front;
  let limited;
  before(async () => {
    limited = newKey("limited", "main", "--rpm", "60000", "--origins", "https://chat.example.com");
    const narrow = newKey("narrow", "main", "--scopes", "models");
    front = await startFront({ vars: { CLIENT_KEYS: `${limited.entry}\n${narrow.entry}` } });
    front.narrow = narrow;
  });
  after(() => front.stop());

  /** Sends a request, and asserts that its response is declared. */
  async function ask(method, path, { key = limited.key, body, headers = {} } = {}) {
    const response = await fetch(`${front.worker.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...headers },
      body,
    });
    const { status } = response;
    return { status, text: await assertDeclared(response, method, path) };
  }

  test("of every operation are declared, and so are refusals", async () => {
    const origin = { origin: "https://chat.example.com" };
    for (const path of Object.keys(api.paths).map((path) =>
      path.replace("{id}", "openclaw%2Fmain"),
    )) {
      for (const method of ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]) {
        const body = method === "POST" ? "{}" : undefined;
        for (const options of [{}, { headers: origin }, { key: "x" }, { key: front.narrow.key }])
          await ask(method, path, { body, ...options });
      }
      if (path.startsWith("/v1/")) {
        const preflight = await ask("OPTIONS", path, {
          headers: { ...origin, "access-control-request-method": "POST" },
        });
        assert.equal(preflight.status, 204);
        const stranger = await ask("OPTIONS", path, {
          headers: { origin: "https://evil.example", "access-control-request-method": "POST" },
        });
        assert.equal(stranger.status, 403);
      }
    }
    assert.equal((await ask("GET", "/v2")).status, 404);
    assert.equal((await ask("GET", "/v1/models/nobody")).status, 404);
  });

  test("of files are declared", async () => {
    const key = newKey("pics", "main");
    const { worker, stop } = await startAdminFront({ entries: [key.entry] });
    const ask = async (method, path, headers = {}) => {
      const response = await fetch(`${worker.url}${path}`, { method, headers });
      await assertDeclared(response, method, path);
      return response.status;
    };
    const authorization = `Bearer ${key.key}`;
    try {
      const paths = ["/a.png", "/b.html", "/gone.txt", "/moved.png", "/c.huge"];
      const words = paths.map((path) => `media=${Buffer.from(path).toString("base64url")}`);
      const messages = [{ role: "user", content: `hi [[fake ${words.join(" ")}]]` }];
      const answer = await fetch(`${worker.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization },
        body: JSON.stringify({ model: "openclaw", messages }),
      });
      const { choices } = await answer.json();
      const links = [...choices[0].message.content.matchAll(/\]\(\S+?(\/v1\/\S+?)\)/g)];
      const [image, page, gone, moved, huge] = links.map(([, path]) => path);
      const object = image.replace("/content", "");
      for (const [path, headers, status] of [
        [image, {}, 200],
        [image, { authorization }, 200],
        [image, { range: "bytes=0-1" }, 206],
        [image, { range: "bytes=100-" }, 416],
        [page, {}, 200],
        [gone, {}, 404],
        [moved, {}, 502],
        [huge, {}, 400],
        [object, { authorization }, 200],
        [object, {}, 401],
      ])
        assert.equal(await ask("GET", path, headers), status, path.slice(-12));
      assert.equal(await ask("HEAD", image), 200);
      assert.equal(await ask("POST", image), 405);
    } finally {
      await stop();
    }
  });

  test("of the admin API are declared", async () => {
    const { worker, ops, stop } = await startAdminFront();
    const ask = async (method, path, body) => {
      const response = await fetch(`${worker.url}/admin/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${ops.key}` },
        body,
      });
      await assertDeclared(response, method, `/admin/v1${path}`);
      return response.status;
    };
    try {
      for (const [method, path, status, body] of [
        ["POST", "/keys", 201, '{"id":"tablet","agents":["main"],"label":"x"}'],
        ["POST", "/keys", 400, '{"id":"tablet","agents":["main"]}'],
        ["POST", "/keys", 400, "{"],
        ["POST", "/keys", 413, `"${"x".repeat(65 * 1024)}"`],
        ["GET", "/keys", 200],
        ["GET", "/keys/tablet", 200],
        ["HEAD", "/keys/tablet", 200],
        ["POST", "/keys/tablet", 200, '{"label":null,"disabled":true}'],
        ["POST", "/keys/tablet/rotate", 200],
        ["POST", "/keys/tablet/rotate", 400, '{"overlap_s":-1}'],
        ["DELETE", "/keys/tablet", 200],
        ["DELETE", "/keys/tablet", 404],
        ["GET", "/audit", 200],
        ["GET", "/runs", 200],
        ["POST", "/runs/none/stop", 404],
        ["GET", "/runs/none/stop", 405],
        ["PUT", "/keys", 405],
      ])
        assert.equal(await ask(method, path, body), status, `${method} ${path}`);
    } finally {
      await stop();
    }
  });

  test("of runs are declared, whole and streamed, for every end of a run", async () => {
    for (const directive of [
      "deltas=3",
      "deltas=3 finish=length",
      "deltas=3 reasoning=2",
      "error=400",
      "deltas=6 streamerror=3",
      "draining=1",
      "tool=exec",
    ]) {
      for (const stream of [true, false]) {
        const said = `hi [[fake ${directive}]]`;
        const headers = { "x-clawfront-reasoning": "on", "x-clawfront-progress": "on" };
        const chat = await ask("POST", "/v1/chat/completions", {
          headers,
          body: JSON.stringify({
            model: "openclaw",
            stream,
            temperature: 1,
            messages: [{ role: "user", content: said }],
          }),
        });
        const response = await ask("POST", "/v1/responses", {
          headers,
          body: JSON.stringify({ model: "openclaw", stream, temperature: 1, input: said }),
        });
        assert.equal(response.status, chat.status === 503 ? 408 : chat.status, directive);
      }
    }
  });

  /** Makes requests from their description in the document, with errors in some places. */
  const REQUESTS = 300;
  const BATCH = 50;
  test(`to ${REQUESTS} made-up requests are declared, and none is the edge's fault`, async (t) => {
    const seed = Number(process.env.FUZZ_SEED ?? 20261123);
    t.diagnostic(`FUZZ_SEED=${seed}`);
    const random = mulberry32(seed);
    const seen = new Map();
    const one = async (index) => {
      const [path, schema] =
        index % 2
          ? ["/v1/responses", "ResponseRequest"]
          : ["/v1/chat/completions", "ChatCompletionRequest"];
      const request = made(api.components.schemas[schema], random, 0);
      // A random word is seldom a model, and nothing else is looked at without one.
      if (request && typeof request === "object" && random() < 0.9) request.model = "openclaw";
      const body = broken(JSON.stringify(request) ?? "", random);
      const { status } = await ask("POST", path, { body });
      assert.ok(status < 500, `${status} for ${body}`);
      seen.set(status, (seen.get(status) ?? 0) + 1);
    };
    // Some at a time: the simulated agent takes a second for an answer.
    for (let index = 0; index < REQUESTS; index += BATCH)
      await Promise.all(Array.from({ length: BATCH }, (_, offset) => one(index + offset)));
    t.diagnostic(JSON.stringify([...seen]));
    assert.ok(
      seen.get(200) > REQUESTS / 10 && seen.get(400) > REQUESTS / 10,
      "it tried requests that work and requests that do not",
    );
  });
});

/** The methods that a constant of the routes stands for, besides HEAD. */
const METHODS_OF = {
  GET_DELETE: ["GET", "DELETE"],
  GET_POST: ["GET", "POST"],
  ALL: ["GET", "POST", "DELETE"],
};

const QUICK = "hi [[fake deltas=1]]";
const WORDS = [
  "",
  " ",
  QUICK,
  QUICK,
  QUICK,
  QUICK,
  QUICK,
  "main",
  "openclaw",
  "openclaw/main",
  "nobody",
  "user",
  "tool",
  "call_1",
  "/new",
  "ünï 世界 👩‍🚀",
  "a\u0000b",
  "\ud800",
  "{}",
  "x".repeat(2000),
  "data:image/png;base64,iVBORw0KGgo=",
  "https://example.com/x.png",
  "data:,",
  `resp_${"0".repeat(32)}`,
  `resp_${"a".repeat(72)}`,
  "cron:x",
];
const ODD = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  "",
  "x",
  [],
  {},
  [[]],
  [null],
  { a: { b: [] } },
];

/** A value that a schema allows, most of the time. */
function made(schema, random, depth) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  if (random() < 0.02) return pick(ODD);
  schema = resolve(schema);
  if (schema.anyOf) return made(pick(schema.anyOf), random, depth);
  if (schema.enum) return pick(schema.enum);
  if ("const" in schema) return schema.const;
  switch (Array.isArray(schema.type) ? schema.type[random() < 0.8 ? 0 : 1] : schema.type) {
    case "object": {
      const entries = Object.entries(schema.properties ?? {}).filter(([name]) =>
        schema.required?.includes(name) ? random() < 0.97 : random() < 0.4,
      );
      return Object.fromEntries(
        entries.map(([name, value]) => [name, made(value, random, depth + 1)]),
      );
    }
    case "array":
      return Array.from({ length: Math.max(schema.minItems ?? 0, Math.floor(random() * 4)) }, () =>
        made(schema.items ?? {}, random, depth + 1),
      );
    case "string":
      return pick(WORDS);
    case "number":
    case "integer":
      return pick([0, 1, 0.5, -1]);
    case "boolean":
      return random() < 0.5;
    default:
      return null;
  }
}

/** Returns the same bytes, or some that are not JSON. */
function broken(text, random) {
  if (random() < 0.9) return text;
  const place = Math.floor(random() * text.length);
  // A directive that is broken is refused by the simulated gateway, which is not the edge's fault.
  const directive = text.lastIndexOf("[[", place);
  const at = directive >= 0 && text.indexOf("]]", directive) > place - 2 ? directive : place;
  return random() < 0.5 ? text.slice(0, at) : `${text.slice(0, at)}\u00ff${text.slice(at)}`;
}

/**
 * A small generator of numbers in [0, 1), the same ones for the same seed. Source: Tommy Ettinger's
 * mulberry32, public domain.
 */
function mulberry32(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
