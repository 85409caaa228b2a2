//! Requests of a connection that is through its handshake.
//!
//! Source: measured on both versions, unless said otherwise.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::agent_params::{AGENT_ID, AgentParams};
use crate::agents::{self, Nowhere};
use crate::connection::REQUEST_FRAME;
use crate::frames::{ErrorShape, Outgoing, Protocol, Reply};
use crate::gateway::{Gateway, RunRecord};
use crate::journal::AbortedBy;
use crate::run::{self, Abort, Run};
use crate::schema::{Kind, Schema, optional, required};
use crate::script::Script;
use crate::{clock, methods, outcome};

/// How long `agent.wait` waits unless told otherwise.
const WAIT_TIMEOUT_MS: u64 = 30_000;

/// The id under which a frame without a readable one is answered.
const NO_ID: &str = "invalid";

/// Who sends the requests of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) connection: u64,
    pub(crate) role: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) device: Option<String>,
    pub(crate) outbox: UnboundedSender<Outgoing>,
}

/// A request frame.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) traceparent: Option<String>,
}

/// Where the response to one request goes.
#[derive(Debug, Clone)]
pub(crate) struct Responder {
    id: String,
    outbox: UnboundedSender<Outgoing>,
}

/// Reads one text frame and answers it, now or later.
pub(crate) fn receive(gateway: &Arc<Gateway>, client: &Client, text: &str) {
    // What is not JSON is ignored.
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let protocol = gateway.protocol();
    if let Err(violation) = REQUEST_FRAME.check(&frame, protocol) {
        let id = frame
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .unwrap_or(NO_ID);
        client.responder(id).refuse(ErrorShape::invalid_request(format!(
            "invalid request frame: {violation}"
        )));
        return;
    }
    let Some(request) = Request::of(frame) else { return };
    gateway.state().journal.frame(client.connection, &request);
    let responder = client.responder(&request.id);
    if let Err(error) = dispatch(gateway, client, request, &responder) {
        responder.refuse(error);
    }
}

fn dispatch(
    gateway: &Arc<Gateway>,
    client: &Client,
    request: Request,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    let protocol = gateway.protocol();
    if client.role != "operator" {
        return Err(ErrorShape::invalid_request(format!(
            "unauthorized role: {}",
            client.role
        )));
    }
    if let Some(scope) = methods::scope_of(&request.method, protocol).filter(|scope| !client.holds(scope)) {
        return Err(ErrorShape::missing_scope(protocol, scope));
    }
    let Request { method, params, .. } = request;
    match (method.as_str(), protocol) {
        ("agent", _) => agent(gateway, client, params, responder),
        ("agent.wait", _) => agent_wait(gateway, &params, responder),
        ("agents.list", _) => {
            responder.answer(&Reply::ok(&agents::list(&gateway.options)));
            Ok(())
        }
        ("health", _) => {
            responder.answer(&Reply::ok(gateway.hello.health()));
            Ok(())
        }
        ("sessions.messages.subscribe", Protocol::V4) => subscribe(gateway, client, &params, responder),
        ("chat.abort", _) => chat_abort(gateway, client, &params, responder),
        ("sessions.abort", Protocol::V4) => sessions_abort(gateway, client, &params, responder),
        _ => Err(ErrorShape::invalid_request(format!("unknown method: {method}"))),
    }
}

/// Starts a run, or answers for the one that has its idempotency key.
fn agent(gateway: &Arc<Gateway>, client: &Client, params: Value, responder: &Responder) -> Result<(), ErrorShape> {
    let protocol = gateway.protocol();
    let params = AgentParams::parse(params, protocol)?;
    // First of all: what is remembered is answered whatever else is wrong with the request. Measured.
    if answer_duplicate(gateway, &params, responder) {
        return Ok(());
    }
    params.check(protocol, client.holds("operator.admin"))?;
    let mut script = Script::of(&params.message).map_err(|problem| {
        ErrorShape::invalid_request(format!("invalid agent params: clawfront-sim directive: {problem}"))
    })?;

    if script.draining {
        return Err(ErrorShape::new(
            "UNAVAILABLE",
            "Gateway is draining; new tasks are not accepted",
        ));
    }
    let place = match agents::place(
        &gateway.options,
        params.agent_id.as_deref(),
        params.session_key.as_deref(),
    ) {
        Ok(place) => place,
        Err(Nowhere::Refused(error)) => return Err(error),
        Err(Nowhere::Fails(message)) => {
            responder.answer(&accepted(protocol, &params.idempotency_key, None));
            responder.answer(&outcome::failure(&params.idempotency_key, message));
            return Ok(());
        }
    };
    if script.echo {
        script.answer_with(&params.echo(&place.agent_id, &place.session_key));
    }
    start(gateway, client, params, script, place, responder);
    Ok(())
}

fn start(
    gateway: &Arc<Gateway>,
    client: &Client,
    params: AgentParams,
    script: Script,
    place: agents::Place,
    responder: &Responder,
) {
    let (aborts, abort_receiver) = mpsc::unbounded_channel();
    let (ended_sender, ended) = watch::channel(None);
    let accepted = accepted(gateway.protocol(), &params.idempotency_key, Some(&place));
    let thinking_problem = params
        .thinking
        .as_deref()
        .and_then(|thinking| agents::thinking_problem(&gateway.options, &place.agent_id, thinking));
    let mut state = gateway.state();
    state
        .journal
        .run_began(&params.idempotency_key, &place.session_key, &place.agent_id);
    state.remember(
        &params.idempotency_key,
        RunRecord {
            session_key: place.session_key.clone(),
            agent_id: place.agent_id.clone(),
            owner: client.device.clone(),
            accepted: accepted.clone(),
            aborts,
            ended,
            task: None,
        },
    );
    drop(state);
    let run_id = params.idempotency_key.clone();
    let task = tokio::spawn(run::perform(
        Arc::clone(gateway),
        Run {
            id: params.idempotency_key,
            place,
            message: params.message,
            script,
            accepted,
            thinking_problem,
            quiet: params.session_effects.as_deref() == Some("internal"),
            starter: client.connection,
            responder: responder.clone(),
            aborts: abort_receiver,
            ended: ended_sender,
        },
    ));
    if let Some(run) = gateway.state().runs.get_mut(&run_id) {
        run.task = Some(task.abort_handle());
    }
}

/// Whether the key was used before; if so, it is answered.
fn answer_duplicate(gateway: &Gateway, params: &AgentParams, responder: &Responder) -> bool {
    let state = gateway.state();
    let Some(run) = state.runs.get(&params.idempotency_key) else {
        return false;
    };
    let ended = run.ended.borrow();
    let ended = ended.as_ref().filter(|ended| ended.claimable_at <= Instant::now());
    let reply = match (ended, gateway.protocol()) {
        (Some(ended), _) => ended.reply.clone(),
        (None, Protocol::V3) => run.accepted.clone(),
        (None, Protocol::V4) => Reply::ok(&json!({
            "runId": params.idempotency_key,
            "status": "in_flight",
            "sessionKey": run.session_key,
            "agentId": run.agent_id,
        })),
    };
    responder.answer(&reply);
    true
}

fn accepted(protocol: Protocol, run_id: &str, place: Option<&agents::Place>) -> Reply {
    Reply::ok(&match (protocol, place) {
        (Protocol::V4, Some(place)) => json!({
            "runId": run_id,
            "sessionKey": place.session_key,
            "agentId": place.agent_id,
            "status": "accepted",
            "acceptedAt": clock::now_ms(),
        }),
        _ => json!({ "runId": run_id, "status": "accepted", "acceptedAt": clock::now_ms() }),
    })
}

fn agent_wait(gateway: &Arc<Gateway>, params: &Value, responder: &Responder) -> Result<(), ErrorShape> {
    check(&AGENT_WAIT, "agent.wait", params, gateway.protocol())?;
    let run_id = params
        .get("runId")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let timeout_ms = params
        .get("timeoutMs")
        .and_then(Value::as_u64)
        .unwrap_or(WAIT_TIMEOUT_MS);
    let ended = gateway.state().runs.get(&run_id).map(|run| run.ended.clone());
    let responder = responder.clone();
    tokio::spawn(async move {
        let wait = async {
            match ended {
                Some(mut ended) => {
                    let ended = ended.wait_for(Option::is_some).await.ok()?;
                    ended.as_ref().map(|ended| ended.wait.clone())
                }
                // A run nobody knows may yet begin.
                None => std::future::pending().await,
            }
        };
        let known = timeout(Duration::from_millis(timeout_ms), wait).await.ok().flatten();
        responder.answer(&Reply::ok(
            &known.unwrap_or_else(|| json!({ "runId": run_id, "status": "timeout" })),
        ));
    });
    Ok(())
}

fn subscribe(gateway: &Gateway, client: &Client, params: &Value, responder: &Responder) -> Result<(), ErrorShape> {
    check(&SUBSCRIBE, "sessions.messages.subscribe", params, gateway.protocol())?;
    let text = |name: &str| params.get(name).and_then(Value::as_str);
    match agents::place(&gateway.options, text("agentId"), text("key")) {
        Ok(place) => {
            gateway.subscribe(client.connection, &place.session_key);
            responder.answer(&Reply::ok(&json!({ "subscribed": true, "key": place.session_key })));
            Ok(())
        }
        Err(Nowhere::Refused(error)) => Err(error),
        Err(Nowhere::Fails(message)) => Err(ErrorShape::invalid_request(message)),
    }
}

fn chat_abort(gateway: &Gateway, client: &Client, params: &Value, responder: &Responder) -> Result<(), ErrorShape> {
    let protocol = gateway.protocol();
    let schema = match protocol {
        Protocol::V3 => &CHAT_ABORT_V3,
        Protocol::V4 => &CHAT_ABORT_V4,
    };
    check(schema, "chat.abort", params, protocol)?;
    let none = json!({ "ok": true, "aborted": false, "runIds": [] });
    if protocol == Protocol::V3 {
        // It ends runs of `chat.send` only.
        responder.answer(&Reply::ok(&none));
        return Ok(());
    }
    let key = params
        .get("sessionKey")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_lowercase();
    let run_id = params.get("runId").and_then(Value::as_str);
    let aborting = aborting(gateway, client, |id, run| {
        run.session_key == key && run_id.is_none_or(|wanted| wanted == id)
    })?;
    let run_ids: Vec<_> = aborting.iter().map(|(id, _)| id.clone()).collect();
    if run_ids.is_empty() {
        responder.answer(&Reply::ok(&none));
        return Ok(());
    }
    let reply = Reply::ok(&json!({ "ok": true, "aborted": true, "runIds": run_ids }));
    send_aborts(client, "chat.abort", aborting, responder, &reply, &Reply::ok(&none));
    Ok(())
}

fn sessions_abort(gateway: &Gateway, client: &Client, params: &Value, responder: &Responder) -> Result<(), ErrorShape> {
    check(&SESSIONS_ABORT, "sessions.abort", params, gateway.protocol())?;
    let text = |name: &str| params.get(name).and_then(Value::as_str);
    let (key, run_id) = (text("key").map(str::to_lowercase), text("runId"));
    if key.is_none() && run_id.is_none() {
        return Err(ErrorShape::invalid_request("key required"));
    }
    let mut aborting = aborting(gateway, client, |id, run| {
        key.as_ref().is_none_or(|key| run.session_key == *key) && run_id.is_none_or(|wanted| wanted == id)
    })?;
    aborting.truncate(1);
    // What it answers when nothing runs was not measured.
    let none = Reply::ok(&json!({ "ok": true, "abortedRunId": null, "status": "no-active-run" }));
    match aborting.first().map(|(id, _)| id.clone()) {
        Some(run_id) => {
            let reply = Reply::ok(&json!({ "ok": true, "abortedRunId": run_id, "status": "aborted" }));
            send_aborts(client, "sessions.abort", aborting, responder, &reply, &none);
        }
        None => responder.answer(&none),
    }
    Ok(())
}

type Aborting = Vec<(String, UnboundedSender<Abort>)>;

/// The runs still going that `wanted` names; a run of another device may not be aborted.
fn aborting(
    gateway: &Gateway,
    client: &Client,
    wanted: impl Fn(&str, &RunRecord) -> bool,
) -> Result<Aborting, ErrorShape> {
    let state = gateway.state();
    let mut aborting = Aborting::new();
    for (id, run) in state
        .runs
        .iter()
        .filter(|(id, run)| wanted(id, run) && !run.has_ended())
    {
        if run.owner != client.device && !client.holds("operator.admin") {
            return Err(ErrorShape::invalid_request("unauthorized"));
        }
        aborting.push((id.clone(), run.aborts.clone()));
    }
    Ok(aborting)
}

/// The last of the runs answers, between its events as the gateway does; none of them, if they all ended meanwhile.
fn send_aborts(client: &Client, method: &str, aborting: Aborting, responder: &Responder, reply: &Reply, none: &Reply) {
    let mut answer = Some(Box::new((responder.clone(), reply.clone())));
    for (_, aborts) in aborting.into_iter().rev() {
        let by = AbortedBy {
            connection: client.connection,
            method: method.to_owned(),
        };
        if let Err(unsent) = aborts.send(Abort {
            by,
            answer: answer.take(),
        }) {
            answer = unsent.0.answer;
        }
    }
    if answer.is_some() {
        responder.answer(none);
    }
}

fn check(schema: &Schema, method: &str, params: &Value, protocol: Protocol) -> Result<(), ErrorShape> {
    schema
        .check(params, protocol)
        .map_err(|violation| ErrorShape::invalid_request(format!("invalid {method} params: {violation}")))
}

impl Client {
    pub(crate) fn holds(&self, scope: &str) -> bool {
        methods::holds(&self.scopes, scope)
    }

    fn responder(&self, id: &str) -> Responder {
        Responder {
            id: id.to_owned(),
            outbox: self.outbox.clone(),
        }
    }
}

impl Request {
    /// A frame that passed [`REQUEST_FRAME`].
    pub(crate) fn of(mut frame: Value) -> Option<Self> {
        let mut text = |name: &str| {
            frame
                .get_mut(name)
                .map(Value::take)
                .and_then(|text| text.as_str().map(str::to_owned))
        };
        let (id, method, traceparent) = (text("id")?, text("method")?, text("traceparent"));
        let params = frame.get_mut("params").map_or_else(|| json!({}), Value::take);
        Some(Self {
            id,
            method,
            params,
            traceparent,
        })
    }
}

impl Responder {
    pub(crate) fn answer(&self, reply: &Reply) {
        // The connection may be gone; what happens then is that nobody hears the answer.
        drop(self.outbox.send(Outgoing::Text(reply.frame(&self.id))));
    }

    fn refuse(&self, error: ErrorShape) {
        self.answer(&Reply::error(error));
    }
}

const AGENT_WAIT: Schema = Schema(&[
    required("runId", Kind::NonEmptyText),
    optional("timeoutMs", Kind::Integer(0)),
]);

const SUBSCRIBE: Schema = Schema(&[
    required("key", Kind::NonEmptyText),
    AGENT_ID,
    optional("includeApprovals", Kind::Flag),
]);

const CHAT_ABORT_V3: Schema = Schema(&[
    required("sessionKey", Kind::NonEmptyText),
    optional("runId", Kind::NonEmptyText),
]);

const CHAT_ABORT_V4: Schema = Schema(&[
    required("sessionKey", Kind::NonEmptyText),
    AGENT_ID,
    optional("runId", Kind::NonEmptyText),
    optional("preserveSideRuns", Kind::Flag),
]);

const SESSIONS_ABORT: Schema = Schema(&[
    optional("key", Kind::NonEmptyText),
    optional("runId", Kind::NonEmptyText),
    AGENT_ID,
    optional("clearQueued", Kind::Flag),
]);
