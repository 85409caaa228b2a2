// Compares responses with openapi.yaml.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv from "ajv/dist/2020.js";
import { createParser } from "eventsource-parser";
import { parse } from "yaml";
import { ROOT } from "../../scripts/paths.mjs";

export const api = parse(readFileSync(join(ROOT, "openapi.yaml"), "utf8"));

const METHODS = ["get", "post", "delete", "options"];

/** The headers that the platform adds by itself, or that the media type implies. */
const PLATFORM = new Set([
  "connection",
  "content-length",
  "content-type",
  "date",
  "keep-alive",
  "transfer-encoding",
]);

const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema({ $id: "api", components: api.components });

/** Returns the schema or other component that a `$ref` names. */
export function resolve(node) {
  if (!node?.$ref) return node;
  return node.$ref
    .replace("#/", "")
    .split("/")
    .reduce((at, name) => at[name.replaceAll("~1", "/")], api);
}

/** Every operation: `{ method, path, operation }`. */
export const operations = Object.entries(api.paths).flatMap(([path, item]) =>
  METHODS.filter((method) => item[method]).map((method) => ({
    method: method.toUpperCase(),
    path,
    operation: item[method],
  })),
);

const validators = new Map();
function assertValid(schema, value, where) {
  const key = JSON.stringify(schema);
  if (!validators.has(key))
    validators.set(
      key,
      ajv.compile(JSON.parse(key.replaceAll('"#/components', '"api#/components'))),
    );
  const validate = validators.get(key);
  assert.ok(
    validate(value),
    `${where}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(value).slice(0, 2000)}`,
  );
}

/** The declared responses of a request; a path or method that is not declared has one. */
function declared(method, path) {
  // The longest, because an id may have a slash.
  const found = Object.keys(api.paths)
    .filter((known) => new RegExp(`^${known.replace(/\{\w+\}/, ".+")}/?$`).test(path))
    .sort((one, other) => other.length - one.length)[0];
  if (!found) return { 404: { $ref: "#/components/responses/NotFound" } };
  const { responses } = api.paths[found][method === "HEAD" ? "get" : method.toLowerCase()] ?? {};
  return responses ?? { 405: { $ref: "#/components/responses/MethodNotAllowed" } };
}

/**
 * Asserts that the response to a request is declared: its status, its headers, its body. Returns
 * the body's text.
 */
export async function assertDeclared(response, method, path) {
  const where = `${method} ${path} ${response.status}`;
  const text = await response.text();
  const as = resolve(declared(method, path)[response.status]);
  assert.ok(as, `${where} is not declared: ${text.slice(0, 500)}`);
  const headers = as.headers ?? {};
  for (const [name] of response.headers)
    assert.ok(PLATFORM.has(name) || headers[name], `${where}: the header ${name} is not declared`);
  for (const [name, header] of Object.entries(headers)) {
    const { required, schema } = resolve(header);
    const value = response.headers.get(name);
    if (value === null) assert.ok(!required, `${where}: the header ${name} is missing`);
    else assertValid(schema, value, `${where}: ${name}`);
  }
  if (method === "HEAD" || !as.content) {
    assert.equal(text, "", where);
    return text;
  }
  const type = response.headers.get("content-type").split(";")[0];
  // A file has any type.
  const content = as.content[type] ?? as.content["*/*"];
  assert.ok(content, `${where}: ${type} is not declared`);
  if (type === "application/json") assertValid(content.schema, JSON.parse(text), where);
  if (type === "text/event-stream") {
    for (const { event, data } of decode([text])) {
      if (data === "[DONE]") continue;
      const value = JSON.parse(data);
      assertValid(content["x-event-schema"], value, where);
      assert.equal(event, value.type, where);
    }
  }
  return text;
}

/** Returns the events of a stream that arrives in these pieces of text. */
export function decode(pieces) {
  const events = [];
  const parser = createParser({
    onEvent: (event) => events.push(event),
    onError: (error) => assert.fail(String(error)),
  });
  for (const piece of pieces) parser.feed(piece);
  return events;
}
