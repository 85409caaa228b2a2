//! The endpoint `POST /v1/chat/completions`: one request, one run, a stream of chunks.
//!
//! ```text
//!   request ─▶ admission ─▶ ask ─▶ run (run/task.rs) ─▶ emitter ─▶ sse ─▶ response
//!                  │          │                            ▲           │
//!                  └─ refusal ┘                            └─ hang-up ─┘ aborts the run
//! ```
//!
//! Only streams are served. Source: openclaw 2026.9.6, measured.

mod admission;
mod ask;
mod emitter;
mod refusal;
mod sse;
mod tools;

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use self::admission::Authority;
use self::ask::Ask;
use self::emitter::{Emitter, Finish, Text};
use self::refusal::Refusal;
use self::sse::{Framing, HangUp};
use self::tools::Call;
use crate::agents::Place;
use crate::frames::Reply;
use crate::gateway::Gateway;
use crate::journal::{Completion, CompletionRun};
use crate::options::ClientTools;
use crate::request::Responder;
use crate::run::record::{Origin, RunRecord};
use crate::run::task::{self, Run};
use crate::script::Script;
use crate::{clock, json_answer};

/// The largest body of a request, in bytes. Source: openclaw 2026.9.6, measured.
const MAX_BODY_BYTES: usize = 20_971_520;

/// The beginning of a tool's result in the conversation that the front sends as one message.
const RESULT: &str = "Tool:";
const CURRENT_RESULT: &str = "[Current message - respond to this]\nTool:";

/// A request that starts a run.
struct Job {
    ask: Ask,
    script: Script,
    calls: Vec<Call>,
    place: Place,
    authority: Authority,
    /// The error that ends the run before any model is called.
    problem: Option<&'static str>,
}

pub(crate) async fn post(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, MAX_BODY_BYTES).await.ok();
    let body = read(bytes.as_ref());
    let job = admission::admit(&gateway.options, &parts.headers).and_then(|authority| {
        let body = match (&bytes, &body) {
            (None, _) => return Err(Refusal::too_large()),
            (_, Ok(body)) => body,
            (_, Err(problem)) => return Err(Refusal::invalid(problem)),
        };
        job(&gateway, &parts.headers, body, authority)
    });
    let body = body.unwrap_or_default();
    match job {
        Ok(job) => start(&gateway, &parts.headers, &body, job),
        Err(refusal) => {
            gateway.state().journal.completion(Completion {
                headers: &parts.headers,
                body: &body,
                status: refusal.status,
                run: None,
            });
            refusal.into_response()
        }
    }
}

fn read(bytes: Option<&Bytes>) -> Result<Value, String> {
    let bytes = bytes.map_or(&[][..], |bytes| bytes);
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn job(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: &Value,
    authority: Authority,
) -> Result<Job, Refusal> {
    let ask = Ask::parse(body)?;
    let place = ask.place(&gateway.options, headers, body)?;
    let mut script = script(gateway, &ask).map_err(Refusal::invalid)?;
    if script.draining {
        return Err(Refusal::draining());
    }
    if let Some(status) = script.over_http.status {
        return Err(Refusal::of_status(status, script.over_http.retry_after));
    }
    if script.echo {
        script.answer_with(&echo(&ask, &place, body));
    }
    let problem = if tools::conflict(&ask.tools) {
        Some(emitter::TOOL_CONFLICT)
    } else if place.session_key.starts_with("agent:") {
        None
    } else {
        Some(emitter::INTERNAL)
    };
    Ok(Job {
        calls: tools::calls(&script.over_http, &ask.tools),
        ask,
        script,
        place,
        authority,
        problem,
    })
}

/// Returns the script of the message. Without a directive a function is called if one must be, and
/// JSON is the answer if that was requested.
fn script(gateway: &Gateway, ask: &Ask) -> Result<Script, String> {
    let problem = |problem: &str| format!("clawfront-sim directive: {problem}");
    let mut script = Script::of(&ask.message).map_err(|error| problem(&error))?;
    if script.lost_ask || script.foreign > 0 || script.settle_ms > 0 {
        return Err(problem("a word that only a WebSocket has"));
    }
    if !Script::is_in(&ask.message) {
        script.delay_ms = gateway.options.demo_delay_ms;
        if ask.choice.is_forced() {
            script.over_http.call_count = Some(1);
            script.deltas.clear();
        } else if let Some(json) = json_answer::in_format(&ask.response_format, &ask.message) {
            script.set_answer(&json.to_string());
        }
    } else if is_about_a_result(&ask.message) {
        script.answer_without_calls();
    }
    if gateway.options.client_tools == ClientTools::Hidden {
        script.answer_without_calls();
    }
    Ok(script)
}

/// Returns whether the current message is the result of a tool, without a directive in it.
fn is_about_a_result(message: &str) -> bool {
    let directive = Script::position(message);
    message.rfind(CURRENT_RESULT) > directive
        || (message.starts_with(RESULT) && directive.is_none())
}

fn echo(ask: &Ask, place: &Place, body: &Value) -> Value {
    let mut fields = body.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("messages");
    }
    json!({
        "message": ask.message,
        "extraSystemPrompt": ask.system_prompt,
        "agentId": place.agent_id,
        "sessionKey": place.session_key,
        "attachmentCount": ask.attachments,
        "body": fields,
    })
}

fn start(gateway: &Arc<Gateway>, headers: &HeaderMap, body: &Value, job: Job) -> Response {
    let Job {
        ask,
        script,
        calls,
        place,
        authority,
        problem,
    } = job;
    let run_id = format!("chatcmpl_{}", clock::uuid());
    let (outbox, events) = mpsc::unbounded_channel();
    let (aborts, abort_receiver) = mpsc::unbounded_channel();
    let (ended_sender, ended) = watch::channel(None);
    let connection = gateway.open_stream(outbox.clone());
    let nothing = Reply::ok(&Value::Null);
    let mut state = gateway.state();
    state.journal.completion(Completion {
        headers,
        body,
        status: 200,
        run: Some(CompletionRun {
            connection,
            run_id: run_id.clone(),
            session_key: place.session_key.clone(),
            agent_id: place.agent_id.clone(),
            is_owner: authority == Authority::Owner,
        }),
    });
    state
        .journal
        .run_began(&run_id, &place.session_key, &place.agent_id);
    state.remember(
        &run_id,
        RunRecord {
            session_key: place.session_key.clone(),
            agent_id: place.agent_id.clone(),
            origin: Origin::Http,
            owner: None,
            accepted: nothing.clone(),
            aborts: aborts.clone(),
            ended,
            task: None,
        },
    );
    drop(state);
    let framing = Framing::of(&script.over_http);
    let emitter = Emitter {
        outbox,
        run_id: run_id.clone(),
        model: ask.model,
        created: emitter::created(),
        includes_usage: ask.includes_usage,
        script: script.over_http.clone(),
        finish: if script.no_final {
            Finish::Withheld
        } else {
            Finish::Sent
        },
        choice: ask.choice,
        calls,
        text: Text::default(),
    };
    let task = tokio::spawn(task::perform(
        Arc::clone(gateway),
        Run {
            id: run_id.clone(),
            place,
            session_id: None,
            message: ask.message,
            script,
            accepted: nothing,
            problem: problem.map(str::to_owned),
            completion: Some(Box::new(emitter)),
            quiet: false,
            starter: connection,
            responder: Responder::nowhere(),
            aborts: abort_receiver,
            ended: ended_sender,
        },
    ));
    if let Some(run) = gateway.state().runs.get_mut(&run_id) {
        run.task = Some(task.abort_handle());
    }
    let hang_up = HangUp {
        gateway: Arc::clone(gateway),
        connection,
        aborts,
    };
    response(sse::body(events, framing, hang_up))
}

fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONNECTION, "keep-alive"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_not_followed_by_the_call_before_it() {
        let folded = "[Chat messages since your last reply - for context]\nUser: [[fake \
                      call=a]]\n\n[Current message - respond to this]\nTool:call_1: Sunny";
        assert!(is_about_a_result(folded));
        assert!(!is_about_a_result(&format!("{folded} [[fake call=b]]")));
        assert!(is_about_a_result("Tool:call_1: Sunny"));
        assert!(!is_about_a_result("User: [[fake call=a]]"));
    }
}
