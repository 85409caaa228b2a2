// Checks frames of protocol 4 against the schema in the npm package @openclaw/gateway-protocol.
//
// The schema has a definition for each kind of payload, but no map from methods and events to them:
// that map is here. It is one release older than the gateway that the simulated one imitates
// (2026.9.1, 2026.9.6); the real gateway's additions are listed here, too.

import Ajv from "ajv";

/** The parameters and the results of methods. `null`: the schema has no definition for it. */
const METHODS = {
  connect: { params: "ConnectParams", result: "HelloOk" },
  agent: { params: "AgentParams", result: null }, // there are no results of runs in the schema
  "agent.wait": { params: "AgentWaitParams", result: null },
  "agents.list": { params: "AgentsListParams", result: "AgentsListResult" },
  "chat.abort": { params: "ChatAbortParams", result: null },
  health: { params: null, result: null }, // but its result is part of hello-ok, and checked there
  "sessions.abort": { params: "SessionsAbortParams", result: null },
  "sessions.delete": { params: "SessionsDeleteParams", result: "SessionsDeleteResult" },
  "sessions.get": { params: null, result: null }, // not in the schema: the gateway takes any parameters
  "tts.speak": { params: "TtsSpeakParams", result: "TtsSpeakResult" },
  "sessions.messages.subscribe": { params: "SessionsMessagesSubscribeParams", result: null },
};

/** The payloads of events. */
const EVENTS = {
  agent: "AgentEvent",
  chat: "ChatEvent",
  shutdown: "ShutdownEvent",
  tick: "TickEvent",
};

/** Events without a definition in the schema, and the parts of them that can be checked. */
const EVENTS_WITHOUT_DEFINITION = {
  "connect.challenge": {}, // not in the schema; the handshake would not succeed without it
  "chat.metadata.changed": {}, // its payload is empty
  task: { task: "TaskSummary" }, // the event itself is not in the schema, the task in it is
  "session.message": {}, // not in the schema
};

/**
 * The additions of the real gateway 2026.9.6 to the schema of 2026.9.1: seen in its recordings.
 * Each is the definition, the path in the value, and the property.
 */
const BEYOND_THE_SCHEMA = new Set([
  // The addressee of an event; the schema has only the event as the agent makes it.
  "AgentEvent:  sessionKey",
  "AgentEvent:  sessionId",
  "AgentEvent:  agentId",
  // How the client proved who it is.
  "HelloOk: /auth method",
  "HelloOk:  controlUiLinkReaders",
  // The other connected clients, and the load of the host.
  "HelloOk: /snapshot/presence/* clientId",
  "HelloOk: /snapshot/health/eventLoop cpuBreakdown",
  // The present activity of a task, and whether there is a transcript of it.
  "TaskSummary:  execution",
  "TaskSummary:  hasTranscript",
]);

export class Validator {
  /** The errors, each with the frame it was found in. */
  violations = [];

  #ajv = new Ajv({ strict: false, allErrors: true });
  #compiled = new Map();
  #definitions;
  /** The method of each request, by its id. */
  #requests = new Map();

  constructor(schema) {
    this.#definitions = schema.definitions;
    this.#ajv.addSchema({ $id: "protocol", definitions: schema.definitions });
  }

  /** A frame of the client. */
  sent(frame) {
    this.#check("RequestFrame", frame, frame);
    this.#requests.set(frame.id, frame.method);
    const definition = METHODS[frame.method]?.params;
    if (definition === undefined)
      this.#violation(frame, `the method ${frame.method} has no definition here`);
    if (definition) this.#check(definition, frame.params ?? {}, frame);
  }

  /** A frame of the gateway. */
  received(frame) {
    if (frame.type === "res") this.#response(frame);
    else this.#event(frame);
  }

  #response(frame) {
    this.#check("ResponseFrame", frame, frame);
    const method = this.#requests.get(frame.id);
    if (method === undefined) return this.#violation(frame, `no request has this id: ${frame.id}`);
    if (frame.error) this.#check("ErrorShape", frame.error, frame);
    const definition = METHODS[method]?.result;
    if (frame.ok && definition) this.#check(definition, frame.payload, frame);
  }

  #event(frame) {
    this.#check("EventFrame", frame, frame);
    const parts = EVENTS_WITHOUT_DEFINITION[frame.event];
    if (parts) {
      for (const [name, definition] of Object.entries(parts))
        this.#check(definition, frame.payload[name], frame);
      return;
    }
    const definition = EVENTS[frame.event];
    if (definition === undefined)
      return this.#violation(frame, `the event ${frame.event} has no definition here`);
    this.#check(definition, frame.payload, frame);
  }

  #check(definition, value, frame) {
    if (!Object.hasOwn(this.#definitions, definition))
      return this.#violation(frame, `the schema has no ${definition}`);
    if (!this.#compiled.has(definition))
      this.#compiled.set(
        definition,
        this.#ajv.compile({ $ref: `protocol#/definitions/${definition}` }),
      );
    const validate = this.#compiled.get(definition);
    if (validate(value)) return;
    for (const error of validate.errors) {
      const surplus = error.params.additionalProperty;
      const path = error.instancePath.replace(/\/\d+/g, "/*");
      if (surplus !== undefined && BEYOND_THE_SCHEMA.has(`${definition}: ${path} ${surplus}`))
        continue;
      this.#violation(
        frame,
        `${definition}: ${error.instancePath} ${error.message} ${surplus ?? ""}`,
      );
    }
  }

  #violation(frame, what) {
    this.violations.push(`${what} in ${JSON.stringify(frame).slice(0, 300)}`);
  }
}
