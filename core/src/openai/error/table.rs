//! The status, the type and the message of every failure, by its code.
//!
//! Two tables: failures before a run, and failures of a run, which all have the same status and
//! type. litellm takes every text with `rate_limit` for a rate limit, after which aider runs the
//! agent again, so none of the second has it.

use std::borrow::Cow;

use crate::access::date::Date;
use crate::failure::Failure;
use crate::http::coding;

use super::phase::{FINAL_STATUS, FINAL_TYPE};

/// The caller's fault.
const REQUEST: &str = "invalid_request_error";
/// A rate of ours.
const RATE: &str = "rate_limit_error";
/// The operator's fault, or the gateway's.
const API: &str = "api_error";

/// A failure before a run.
struct Row {
    code: &'static str,
    status: u16,
    kind: &'static str,
    message: &'static str,
}

const fn row(code: &'static str, status: u16, kind: &'static str, message: &'static str) -> Row {
    Row {
        code,
        status,
        kind,
        message,
    }
}

/// Stands in a message for the value that the failure carries.
const VALUE: &str = "{}";

const BEFORE_RUN: [Row; 37] = [
    row(
        "invalid_api_key",
        401,
        REQUEST,
        "Incorrect API key provided. Send a valid key as `Authorization: Bearer <key>`.",
    ),
    row(
        "too_many_failed_attempts",
        429,
        RATE,
        "Too many requests with incorrect API keys from this address. Check the key, then try \
         again later.",
    ),
    row(
        "api_key_expired",
        401,
        REQUEST,
        "This API key has expired or was revoked; the answer was ended.",
    ),
    row(
        "missing_scope",
        403,
        REQUEST,
        "This API key lacks the scope `{}`.",
    ),
    row(
        "origin_not_allowed",
        403,
        REQUEST,
        "This API key may not be used from web pages of this origin.",
    ),
    row(
        "rate_limit_exceeded",
        429,
        RATE,
        "This API key has a limit of requests per minute: {}.",
    ),
    // The type is OpenAI's own, too.
    row(
        "insufficient_quota",
        429,
        "insufficient_quota",
        "This API key has used {}.",
    ),
    row(
        "idempotency_key_reused",
        409,
        REQUEST,
        "This Idempotency-Key was sent with another request before; use a new one.",
    ),
    row(
        "run_in_progress",
        409,
        REQUEST,
        "An earlier attempt at this request may still be running; it was not started again.",
    ),
    row(
        "concurrent_runs_exceeded",
        429,
        RATE,
        "This API key has a limit of runs at a time: {}. Wait until one has ended.",
    ),
    row(
        "unknown_url",
        404,
        REQUEST,
        "Unknown path. There are POST /v1/chat/completions, POST /v1/responses, \
         GET /v1/responses/{id}, POST /v1/audio/speech, GET /v1/files/{id}, GET /v1/models, \
         GET /v1/models/{id} and GET /v1/key.",
    ),
    row(
        "method_not_allowed",
        405,
        REQUEST,
        "Method not allowed; use {}.",
    ),
    row(
        "request_too_large",
        413,
        REQUEST,
        "The request body is larger than {} bytes.",
    ),
    row(
        "unsupported_content_encoding",
        415,
        REQUEST,
        "The Content-Encoding of the request body is not supported; send {}.",
    ),
    row(
        "request_timeout",
        408,
        REQUEST,
        "The request body did not arrive in time; nothing was started.",
    ),
    row("invalid_request", 400, REQUEST, VALUE),
    row(
        "model_not_found",
        404,
        REQUEST,
        "The model does not exist or this key may not use it.",
    ),
    row(
        "key_not_found",
        404,
        REQUEST,
        "There is no key with this id in the hub. Keys of CLIENT_KEYS are changed there.",
    ),
    row(
        "run_not_found",
        404,
        REQUEST,
        "The hub has no run with this id.",
    ),
    row(
        "file_not_found",
        404,
        REQUEST,
        "This API key has no file with this id, or the gateway no longer has it.",
    ),
    row(
        "response_not_found",
        404,
        REQUEST,
        "This API key has no stored response with this id. Responses are stored if `store` or \
         `background` is true, and for a limited time.",
    ),
    row(
        "command_not_allowed",
        403,
        REQUEST,
        "The gateway does not let clients run this command (such as /new or /reset).",
    ),
    row(
        "client_too_slow",
        499,
        API,
        "The answer was read too slowly; the run was stopped.",
    ),
    // Proxies log 499 for a client that closed its connection. No client reads this response.
    row(
        "client_closed_request",
        499,
        API,
        "The client closed the request.",
    ),
    row(
        "misconfigured",
        500,
        API,
        "This deployment is not configured; its operator finds the reason in the log.",
    ),
    row(
        "too_many_streams",
        503,
        API,
        "Too many answers are under way here; nothing was started. Try again shortly.",
    ),
    row(
        "too_many_large_bodies",
        503,
        API,
        "Too many large request bodies are under way here; nothing was started. Try again shortly.",
    ),
    row(
        "hub_unavailable",
        503,
        API,
        "The service is restarting or overloaded; nothing was started. Try again shortly.",
    ),
    row(
        "internal_error",
        500,
        API,
        "Something went wrong at the edge; its operator finds the reason in the log.",
    ),
    row(
        "gateway_unreachable",
        502,
        API,
        "The gateway cannot be reached.",
    ),
    row(
        "gateway_refused",
        502,
        API,
        "The gateway refused the request; its operator finds the reason in the log.",
    ),
    row(
        "gateway_unavailable",
        503,
        API,
        "The gateway is not ready; nothing was started. Try again shortly.",
    ),
    row(
        "gateway_protocol_error",
        502,
        API,
        "The gateway sent something that does not belong to its protocol.",
    ),
    row(
        "gateway_connect_timeout",
        504,
        API,
        "The gateway did not accept the connection in time.",
    ),
    row(
        "gateway_handshake_timeout",
        504,
        API,
        "The gateway did not finish the handshake in time.",
    ),
    row(
        "gateway_closed",
        502,
        API,
        "The gateway closed the connection; nothing was started.",
    ),
    row(
        "speech_failed",
        502,
        API,
        "The gateway did not speak the text: {}.",
    ),
];

/// Code and message of the failures of a run.
const OF_RUN: [(&str, &str); 20] = [
    (
        "hub_lost",
        "The service was restarted while it had this request; the agent's run may still be going.",
    ),
    (
        "gateway_acceptance_timeout",
        "The gateway did not say in time whether it accepted the run; it may have started.",
    ),
    (
        "gateway_silent",
        "The gateway fell silent; the agent's run may still be going.",
    ),
    (
        "run_timeout",
        "The agent's run took longer than a run may take, and was given up.",
    ),
    (
        "gateway_connection_lost",
        "The connection to the gateway was lost; the agent's run may still be going.",
    ),
    (
        "provider_rejected_request",
        "The agent's model provider rejected the request.",
    ),
    (
        "context_length_exceeded",
        "The conversation is too long for the agent's model.",
    ),
    (
        "provider_model_not_found",
        "The agent's model does not exist at its provider.",
    ),
    (
        "provider_throttled",
        "The agent's model provider limits its rate.",
    ),
    (
        "provider_overloaded",
        "The agent's model provider is overloaded.",
    ),
    (
        "provider_timeout",
        "The agent's model provider did not answer in time.",
    ),
    ("provider_error", "The agent's model provider failed."),
    (
        "provider_account_error",
        "The agent's model provider does not accept the gateway's account.",
    ),
    ("run_failed", "The agent's run failed."),
    (
        "run_aborted",
        "The agent's run was stopped before it finished.",
    ),
    (
        "run_interrupted",
        "The gateway no longer knows this run, and its session has no answer of it: it was \
         probably cut off by a restart. What it did until then stays done. It is not started \
         again.",
    ),
    (
        "answer_retracted",
        "The agent took back text that was already sent; the text above is not its answer.",
    ),
    (
        "answer_lost",
        "The agent's run finished, but a part of its answer was lost with the connection to the \
         gateway.",
    ),
    (
        "answer_invalid",
        "The agent's answer is not a call of the function that was forced: {}. The run is done; \
         its session has the answer.",
    ),
    (
        "answer_too_large",
        "The answer is larger than {} bytes; the run was stopped.",
    ),
];

/// The entry of a failure in the tables.
pub(super) struct Entry {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) message: Cow<'static, str>,
}

/// Returns the entry of a failure. The tables have every code, and a test checks it.
pub(super) fn entry(failure: &Failure) -> Entry {
    let code = failure.code();
    let (status, kind, message) = if failure.is_of_run() {
        let message = OF_RUN.iter().find(|(other, _)| *other == code);
        (FINAL_STATUS, FINAL_TYPE, message.map_or("", |row| row.1))
    } else {
        BEFORE_RUN
            .iter()
            .find(|row| row.code == code)
            .map_or((500, API, ""), |row| (row.status, row.kind, row.message))
    };
    Entry {
        status,
        kind,
        message: match value(failure) {
            Some(value) if message == VALUE => value,
            Some(value) => message.replacen(VALUE, &value, 1).into(),
            None => message.into(),
        },
    }
}

/// Returns the value that stands in the message of a failure.
fn value(failure: &Failure) -> Option<Cow<'static, str>> {
    Some(match failure {
        Failure::MissingScope(word)
        | Failure::MethodNotAllowed { allow: word }
        | Failure::SpeechFailed(word) => (*word).into(),
        Failure::RateLimitExceeded(allowance) => allowance.limit.to_string().into(),
        Failure::InsufficientQuota(spent) => format!(
            "{} of its {} {}; the next begins at {}",
            spent.used,
            spent.limit,
            spent.unit,
            Date::from_unix_s(spent.resets_s)
        )
        .into(),
        Failure::ConcurrentRunsExceeded { limit, .. } => limit.to_string().into(),
        Failure::RequestTooLarge { limit_bytes } | Failure::AnswerTooLarge { limit_bytes } => {
            limit_bytes.to_string().into()
        }
        Failure::UnsupportedContentEncoding => coding::ACCEPTED.into(),
        Failure::InvalidRequest { message, .. } => message.clone(),
        Failure::AnswerInvalid { problem } => problem.to_string().into(),
        _ => return None,
    })
}

#[cfg(test)]
pub(super) fn codes_before_run() -> impl Iterator<Item = &'static str> {
    BEFORE_RUN.iter().map(|row| row.code)
}

#[cfg(test)]
pub(super) fn codes_of_run() -> impl Iterator<Item = &'static str> {
    OF_RUN.iter().map(|(code, _)| *code)
}
