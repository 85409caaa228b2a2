//! The requests that start a run and wait for it: `agent` and `agent.wait`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::agent_params::AgentParams;
use crate::agents::{self, Nowhere};
use crate::frames::{ErrorShape, Outgoing, Protocol, Reply};
use crate::gateway::Gateway;
use crate::request::{Client, Responder, check};
use crate::run::outcome;
use crate::run::record::{Origin, RunRecord};
use crate::run::task::{self, Run};
use crate::schema::{Kind, Schema, optional, required};
use crate::script::Script;
use crate::{clock, json_answer};

/// Default time limit of `agent.wait`.
const WAIT_TIMEOUT_MS: u64 = 30_000;

/// Starts a run, or answers for the one that has its idempotency key.
pub(super) fn agent(
    gateway: &Arc<Gateway>,
    client: &Client,
    params: Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
    let protocol = gateway.protocol();
    let params = AgentParams::parse(params, protocol)?;
    // This comes first: a remembered run is answered even if the request is invalid otherwise.
    // Measured.
    if answer_duplicate(gateway, &params, responder) {
        return Ok(());
    }
    params.check(protocol, client)?;
    let mut script = Script::of(&params.message).map_err(|problem| {
        ErrorShape::invalid_request(format!(
            "invalid agent params: clawfront-sim directive: {problem}"
        ))
    })?;

    if !script.over_http.is_empty() {
        return Err(ErrorShape::invalid_request(
            "invalid agent params: clawfront-sim directive: a word that only HTTP has",
        ));
    }
    if script.lost_ask && gateway.state().lost.insert(params.idempotency_key.clone()) {
        gateway.send(client.connection, Outgoing::Drop);
        return Ok(());
    }
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
    if !Script::is_in(&params.message) {
        script.delay_ms = gateway.options.demo_delay_ms;
        if let Some(json) =
            json_answer::asked_for(params.extra_system_prompt.as_deref(), &params.message)
        {
            script.set_answer(&json.to_string());
        }
    }
    if script.echo {
        script.answer_with(&params.echo(&place.agent_id, &place.session_key));
    }
    let job = Job {
        params,
        script,
        place,
    };
    start(gateway, client, job, responder);
    Ok(())
}

/// A request that is accepted.
struct Job {
    params: AgentParams,
    script: Script,
    place: agents::Place,
}

fn start(gateway: &Arc<Gateway>, client: &Client, job: Job, responder: &Responder) {
    let Job {
        params,
        script,
        place,
    } = job;
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
            origin: Origin::WebSocket,
            owner: client.device.clone(),
            accepted: accepted.clone(),
            aborts,
            ended,
            task: None,
        },
    );
    drop(state);
    let run_id = params.idempotency_key.clone();
    let task = tokio::spawn(task::perform(
        Arc::clone(gateway),
        Run {
            id: params.idempotency_key,
            place,
            session_id: params
                .session_id
                .filter(|_| gateway.protocol() == Protocol::V4),
            message: params.message,
            script,
            accepted,
            problem: thinking_problem,
            completion: None,
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

/// Returns true if the key was used before; then the request is answered.
fn answer_duplicate(gateway: &Gateway, params: &AgentParams, responder: &Responder) -> bool {
    let state = gateway.state();
    let Some(run) = state.runs.get(&params.idempotency_key) else {
        return false;
    };
    let ended = run.ended.borrow();
    let ended = ended
        .as_ref()
        .filter(|ended| ended.claimable_at <= Instant::now());
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

pub(super) fn agent_wait(
    gateway: &Arc<Gateway>,
    params: &Value,
    responder: &Responder,
) -> Result<(), ErrorShape> {
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
    let ended = gateway
        .state()
        .runs
        .get(&run_id)
        .map(|run| run.ended.clone());
    let responder = responder.clone();
    tokio::spawn(async move {
        let wait = async {
            match ended {
                Some(mut ended) => {
                    let ended = ended.wait_for(Option::is_some).await.ok()?;
                    ended.as_ref().map(|ended| ended.wait.clone())
                }
                // A run that is not known may begin later.
                None => std::future::pending().await,
            }
        };
        let known = timeout(Duration::from_millis(timeout_ms), wait)
            .await
            .ok()
            .flatten();
        responder.answer(&Reply::ok(
            &known.unwrap_or_else(|| json!({ "runId": run_id, "status": "timeout" })),
        ));
    });
    Ok(())
}

const AGENT_WAIT: Schema = Schema(&[
    required("runId", Kind::NonEmptyText),
    optional("timeoutMs", Kind::Integer(0)),
]);
