//! Every way a request can fail, and the one table that says what the caller is told: status, type, code and words.
//!
//! Sorted by whose fault it is. The caller learns what to do; the cause, with a hint for the operator, is for the log only, and
//! neither ever holds a prompt, an answer, a key or the gateway's prose.

use std::borrow::Cow;

use serde::Serialize;

use crate::gateway::diagnosis::{Diagnosis, Stage};
use crate::gateway::refusal::Refusal;
use crate::key::{Denial, Scope};
use crate::limit::Allowance;

/// Seconds after which a starting or draining gateway is worth another try, where it does not say itself.
pub const RETRY_AFTER_S: u32 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    // The caller's.
    /// No key, or none that is good: one answer for every cause.
    Unauthorized(Denial),
    /// Too many of those from one address.
    TooManyAttempts {
        retry_after_s: u32,
        /// The first of its minute: the only one that is logged.
        is_first: bool,
    },
    /// The key is good, but not for this.
    MissingScope(Scope),
    /// The key is good, but not from a page of this origin.
    OriginNotAllowed,
    /// The key's requests of this minute are used up.
    RateLimited(Allowance),
    /// The `Idempotency-Key` came with another request before.
    KeyReused,
    /// An earlier attempt's run may be going, and the gateway may have forgotten that it was asked for.
    StillRunning,
    /// As many runs of the key are going as it may have.
    TooManyRuns {
        limit: u32,
        retry_after_s: u32,
    },
    UnknownPath,
    MethodNotAllowed {
        allow: &'static str,
    },
    BodyTooLarge {
        limit_bytes: usize,
    },
    Invalid {
        param: Option<String>,
        message: Cow<'static, str>,
    },
    /// Unknown to the gateway or not for this key: the two cannot be told apart.
    ModelNotFound,
    /// The message is a command that takes more rights than a client has.
    Forbidden,
    /// The caller reads its stream more slowly than the agent speaks, by more than is kept for it.
    ClientTooSlow,
    /// The caller hung up; nobody reads the answer, the log keeps the fact.
    HungUp,

    // The operator's.
    Misconfigured,
    /// There are as many streams as one isolate takes.
    Overloaded,
    /// The runtime failed us; the log has its words.
    Internal,

    // The gateway's.
    /// It does not answer.
    Unreachable(Diagnosis),
    /// Something that is not a gateway answered the upgrade.
    NotAGateway {
        status: u16,
        diagnosis: Diagnosis,
    },
    /// The gateway will not have us.
    Refused(Refusal),
    /// Starting, draining, or locked for a while: nothing was started, so trying again is safe.
    Unavailable {
        retry_after_s: u32,
        diagnosis: Diagnosis,
        /// The gateway's code, a status, or a close code.
        detail: Cow<'static, str>,
    },
    /// It broke its own protocol.
    Protocol(&'static str),
    /// A deadline passed.
    TimedOut(Deadline),
    /// It closed the connection before anything was started.
    Closed {
        close_code: u16,
        diagnosis: Diagnosis,
    },
    /// The connection ended while the run was going, and the run could not be found again.
    Lost {
        close_code: u16,
        /// Why it could not.
        cause: Option<Cause>,
    },

    // The run's.
    Provider(ProviderFailure),
    /// Stopped from elsewhere, or by the gateway's own time limit.
    Aborted,
    /// The agent took back what had already been streamed.
    Retracted,
    /// The run finished, but what it said while there was no connection cannot be had any more.
    AnswerLost,
    AnswerTooLarge {
        limit_bytes: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Connect,
    Handshake,
    Acceptance,
    Silence,
    Run,
}

/// Why the model's provider failed, by the class the gateway gives it.
/// Source: OpenClaw 2026.9.6 `failoverReason` (`failover-error.ts`, `openai-compat-errors.ts`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderFailure {
    Format,
    ContextOverflow,
    ModelNotFound,
    RateLimit,
    Overloaded,
    Timeout,
    ServerError,
    /// The operator's account with the provider: never 401, 402 or 403, which would speak of the caller's key.
    Account,
    /// A class we do not know, or none given (OpenClaw 2026.3 gives none).
    Unclassified,
}

impl ProviderFailure {
    /// The class of a `failoverReason`; one we do not know is [`ProviderFailure::Unclassified`].
    pub fn of(reason: &str) -> Self {
        match reason {
            "format" => Self::Format,
            "context_overflow" => Self::ContextOverflow,
            "model_not_found" => Self::ModelNotFound,
            "rate_limit" => Self::RateLimit,
            "overloaded" => Self::Overloaded,
            "timeout" => Self::Timeout,
            "server_error" => Self::ServerError,
            "auth" | "auth_permanent" | "billing" => Self::Account,
            _ => Self::Unclassified,
        }
    }
}

/// What the caller is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: ErrorBody,
    pub retry_after_s: Option<u32>,
    pub allow: Option<&'static str>,
}

/// OpenAI's error object; clients expect all four fields, always.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    pub message: Cow<'static, str>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub param: Option<String>,
    pub code: &'static str,
}

/// What the operator is told, in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// A code of ours; of the connection to the gateway, it is [`Diagnosis::code`].
    pub code: Cow<'static, str>,
    /// What the gateway, or what stands before it, said itself: its code, an HTTP status, a close code.
    pub detail: Option<Cow<'static, str>>,
    /// What to do about it.
    pub hint: Cow<'static, str>,
}

impl Failure {
    pub fn invalid(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            param: Some(param.into()),
            message: message.into(),
        }
    }

    /// The table.
    #[expect(clippy::too_many_lines, reason = "it is one table, and is read as one")]
    pub fn reply(&self) -> Reply {
        let (status, kind, code, message): Row = match self {
            Self::Unauthorized(_) => (
                401,
                "invalid_request_error",
                "invalid_api_key",
                "Incorrect API key provided. Send a valid key as `Authorization: Bearer <key>`.".into(),
            ),
            Self::TooManyAttempts { .. } => (
                429,
                "rate_limit_error",
                "too_many_failed_attempts",
                "Too many requests with incorrect API keys from this address. Check the key, then try again later."
                    .into(),
            ),
            Self::MissingScope(scope) => (
                403,
                "invalid_request_error",
                "missing_scope",
                format!("This API key lacks the scope `{}`.", scope.name()).into(),
            ),
            Self::OriginNotAllowed => (
                403,
                "invalid_request_error",
                "origin_not_allowed",
                "This API key may not be used from web pages of this origin.".into(),
            ),
            Self::RateLimited(allowance) => (
                429,
                "rate_limit_error",
                "rate_limit_exceeded",
                format!("This API key may make {} requests per minute.", allowance.limit).into(),
            ),
            Self::KeyReused => (
                409,
                "invalid_request_error",
                "idempotency_key_reused",
                "This Idempotency-Key was sent with another request before; use a new one.".into(),
            ),
            Self::StillRunning => (
                409,
                "invalid_request_error",
                "run_in_progress",
                "An earlier attempt at this request may still be running; it was not started again.".into(),
            ),
            Self::TooManyRuns { limit, .. } => (
                429,
                "rate_limit_error",
                "concurrent_runs_exceeded",
                format!("This API key may have {limit} runs at a time; wait until one has ended.").into(),
            ),
            Self::UnknownPath => (
                404,
                "invalid_request_error",
                "unknown_url",
                "Unknown path. There are POST /v1/chat/completions, POST /v1/responses, GET /v1/models and GET /v1/key.".into(),
            ),
            Self::MethodNotAllowed { allow } => (
                405,
                "invalid_request_error",
                "method_not_allowed",
                format!("Method not allowed; use {allow}.").into(),
            ),
            Self::BodyTooLarge { limit_bytes } => (
                413,
                "invalid_request_error",
                "request_too_large",
                format!("The request body is larger than {limit_bytes} bytes.").into(),
            ),
            Self::Invalid { message, .. } => (400, "invalid_request_error", "invalid_request", message.clone()),
            Self::ModelNotFound => (
                404,
                "invalid_request_error",
                "model_not_found",
                "The model does not exist or this key may not use it.".into(),
            ),
            Self::Forbidden => (
                403,
                "invalid_request_error",
                "command_not_allowed",
                "The gateway does not let clients run this command (such as /new or /reset).".into(),
            ),
            Self::ClientTooSlow => (
                499,
                "api_error",
                "client_too_slow",
                "The answer was read too slowly; the run was stopped.".into(),
            ),
            // 499, as proxies log a client that went away; no client ever reads it.
            Self::HungUp => (
                499,
                "api_error",
                "client_closed_request",
                "The client closed the request.".into(),
            ),
            Self::Misconfigured => (
                500,
                "api_error",
                "misconfigured",
                "This deployment is not configured; its operator finds the reason in the log.".into(),
            ),
            Self::Overloaded => (
                503,
                "api_error",
                "too_many_streams",
                "Too many answers are under way here; nothing was started. Try again shortly.".into(),
            ),
            Self::Internal => (
                500,
                "api_error",
                "internal_error",
                "Something went wrong at the edge; its operator finds the reason in the log.".into(),
            ),
            Self::Unreachable(_) => (
                502,
                "api_error",
                "gateway_unreachable",
                "The gateway cannot be reached.".into(),
            ),
            Self::NotAGateway { .. } | Self::Refused(_) => (
                502,
                "api_error",
                "gateway_refused",
                "The gateway refused the request; its operator finds the reason in the log.".into(),
            ),
            Self::Unavailable { .. } => (
                503,
                "api_error",
                "gateway_unavailable",
                "The gateway is not ready; nothing was started. Try again shortly.".into(),
            ),
            Self::Protocol(_) => (
                502,
                "api_error",
                "gateway_protocol_error",
                "The gateway sent something that does not belong to its protocol.".into(),
            ),
            Self::TimedOut(deadline) => timed_out(*deadline),
            Self::Closed { .. } => (
                502,
                "api_error",
                "gateway_closed",
                "The gateway closed the connection; nothing was started.".into(),
            ),
            Self::Lost { .. } => (
                502,
                "api_error",
                "gateway_connection_lost",
                "The connection to the gateway was lost; the agent's run may still be going.".into(),
            ),
            Self::Provider(failure) => provider(*failure),
            Self::Aborted => (
                502,
                "api_error",
                "run_aborted",
                "The agent's run was stopped before it finished.".into(),
            ),
            Self::Retracted => (
                502,
                "api_error",
                "answer_retracted",
                "The agent took back text that was already sent; the text above is not its answer.".into(),
            ),
            Self::AnswerLost => (
                502,
                "api_error",
                "answer_lost",
                "The agent's run finished, but a part of its answer was lost with the connection to the gateway."
                    .into(),
            ),
            Self::AnswerTooLarge { limit_bytes } => (
                502,
                "api_error",
                "answer_too_large",
                format!("The answer is larger than {limit_bytes} bytes; the run was stopped.").into(),
            ),
        };
        Reply {
            status,
            body: ErrorBody {
                message,
                kind,
                param: match self {
                    Self::Invalid { param, .. } => param.clone(),
                    Self::ModelNotFound => Some("model".to_owned()),
                    _ => None,
                },
                code,
            },
            retry_after_s: match self {
                Self::Unavailable { retry_after_s, .. }
                | Self::TooManyAttempts { retry_after_s, .. }
                | Self::TooManyRuns { retry_after_s, .. } => Some(*retry_after_s),
                Self::RateLimited(allowance) => Some(allowance.reset_s),
                Self::Overloaded => Some(RETRY_AFTER_S),
                _ => None,
            },
            allow: match self {
                Self::MethodNotAllowed { allow } => Some(allow),
                _ => None,
            },
        }
    }

    /// Whether sending the request again cannot help, and may lock the Worker's address out at the gateway.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::NotAGateway { .. }
                | Self::Closed {
                    diagnosis: Diagnosis::DeviceRemoved,
                    ..
                }
                | Self::Misconfigured
                | Self::TooManyAttempts { .. }
                | Self::KeyReused
                | Self::StillRunning
        )
    }

    /// Whether somebody who shows no key can bring it about.
    pub fn is_strangers(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized(_) | Self::UnknownPath | Self::MethodNotAllowed { .. } | Self::OriginNotAllowed
        )
    }

    /// Whether it leaves a line in the log: of a flood of wrong keys, one a minute and address is enough.
    pub fn is_logged(&self) -> bool {
        !matches!(self, Self::TooManyAttempts { is_first: false, .. })
    }

    /// What is wrong with the connection to the gateway, where it is that.
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        match self {
            Self::Refused(refusal) => Some(refusal.diagnosis()),
            Self::Unreachable(diagnosis)
            | Self::NotAGateway { diagnosis, .. }
            | Self::Unavailable { diagnosis, .. }
            | Self::Closed { diagnosis, .. } => Some(*diagnosis),
            Self::Protocol(_) => Some(Diagnosis::ProtocolError),
            Self::Lost { close_code, .. } => Some(Diagnosis::of_close(Stage::Ready, *close_code)),
            Self::TimedOut(Deadline::Connect) => Some(Diagnosis::ConnectTimeout),
            Self::TimedOut(Deadline::Handshake) => Some(Diagnosis::HandshakeTimeout),
            Self::TimedOut(Deadline::Silence) => Some(Diagnosis::Silent),
            _ => None,
        }
    }

    /// What the log says beyond the code of [`Failure::reply`].
    pub fn cause(&self) -> Option<Cause> {
        let detail = match self {
            Self::Unauthorized(denial) => return Some(Cause::new(denial.code(), denial.hint())),
            Self::RateLimited(_) | Self::TooManyRuns { .. } => {
                return Some(Cause::new(
                    "key_limit",
                    "the key's entry in CLIENT_KEYS sets rpm and runs",
                ));
            }
            Self::Lost { cause: Some(cause), .. } => return Some(cause.clone()),
            Self::Refused(refusal) => Some(refusal.code().to_owned().into()),
            Self::Unavailable { detail, .. } => Some(detail.clone()),
            Self::Protocol(what) => Some((*what).into()),
            Self::NotAGateway { status: number, .. }
            | Self::Closed { close_code: number, .. }
            | Self::Lost { close_code: number, .. } => Some(number.to_string().into()),
            _ => None,
        };
        let diagnosis = self.diagnosis()?;
        let mend = match self {
            Self::Refused(refusal) => refusal.mend(),
            _ => diagnosis.mend().into(),
        };
        Some(Cause {
            code: diagnosis.code().into(),
            detail,
            hint: [diagnosis.words(), ": ", &*mend].concat().into(),
        })
    }
}

impl Cause {
    pub fn new(code: &'static str, hint: &'static str) -> Self {
        Self {
            code: code.into(),
            detail: None,
            hint: hint.into(),
        }
    }
}

type Row = (u16, &'static str, &'static str, Cow<'static, str>);

fn timed_out(deadline: Deadline) -> Row {
    let (code, message) = match deadline {
        Deadline::Connect => (
            "gateway_connect_timeout",
            "The gateway did not accept the connection in time.",
        ),
        Deadline::Handshake => (
            "gateway_handshake_timeout",
            "The gateway did not finish the handshake in time.",
        ),
        Deadline::Acceptance => (
            "gateway_acceptance_timeout",
            "The gateway did not say in time whether it accepted the run; it may have started.",
        ),
        Deadline::Silence => (
            "gateway_silent",
            "The gateway fell silent; the agent's run may still be going.",
        ),
        Deadline::Run => (
            "run_timeout",
            "The agent's run took longer than a run may take, and was given up.",
        ),
    };
    (504, "api_error", code, message.into())
}

fn provider(failure: ProviderFailure) -> Row {
    let (status, kind, code, message) = match failure {
        ProviderFailure::Format => (
            400,
            "invalid_request_error",
            "provider_rejected_request",
            "The agent's model provider rejected the request.",
        ),
        ProviderFailure::ContextOverflow => (
            413,
            "invalid_request_error",
            "context_length_exceeded",
            "The conversation is too long for the agent's model.",
        ),
        ProviderFailure::ModelNotFound => (
            502,
            "api_error",
            "provider_model_not_found",
            "The agent's model does not exist at its provider.",
        ),
        ProviderFailure::RateLimit => (
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
            "The agent's model provider limits its rate.",
        ),
        ProviderFailure::Overloaded => (
            503,
            "api_error",
            "provider_overloaded",
            "The agent's model provider is overloaded.",
        ),
        ProviderFailure::Timeout => (
            504,
            "api_error",
            "provider_timeout",
            "The agent's model provider did not answer in time.",
        ),
        ProviderFailure::ServerError => (502, "api_error", "provider_error", "The agent's model provider failed."),
        ProviderFailure::Account => (
            502,
            "api_error",
            "provider_account_error",
            "The agent's model provider does not accept the gateway's account.",
        ),
        ProviderFailure::Unclassified => (502, "api_error", "run_failed", "The agent's run failed."),
    };
    (status, kind, code, message.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The failure behind this one, in the order of their declaration: a new one has to be put in here.
    fn next(failure: &Failure) -> Option<Failure> {
        use Failure as F;
        let allowance = Allowance {
            limit: 30,
            remaining: 0,
            reset_s: 60,
        };
        Some(match failure {
            F::Unauthorized(_) => F::TooManyAttempts {
                retry_after_s: 60,
                is_first: true,
            },
            F::TooManyAttempts { .. } => F::MissingScope(Scope::Chat),
            F::MissingScope(_) => F::OriginNotAllowed,
            F::OriginNotAllowed => F::RateLimited(allowance),
            F::RateLimited(_) => F::KeyReused,
            F::KeyReused => F::StillRunning,
            F::StillRunning => F::TooManyRuns {
                limit: 2,
                retry_after_s: 5,
            },
            F::TooManyRuns { .. } => F::UnknownPath,
            F::UnknownPath => F::MethodNotAllowed { allow: "POST" },
            F::MethodNotAllowed { .. } => F::BodyTooLarge { limit_bytes: 1 },
            F::BodyTooLarge { .. } => F::invalid("n", "m"),
            F::Invalid { .. } => F::ModelNotFound,
            F::ModelNotFound => F::Forbidden,
            F::Forbidden => F::ClientTooSlow,
            F::ClientTooSlow => F::HungUp,
            F::HungUp => F::Misconfigured,
            F::Misconfigured => F::Overloaded,
            F::Overloaded => F::Internal,
            F::Internal => F::Unreachable(Diagnosis::Dns),
            F::Unreachable(_) => F::NotAGateway {
                status: 404,
                diagnosis: Diagnosis::NotAGateway,
            },
            F::NotAGateway { .. } => F::Unavailable {
                retry_after_s: 5,
                diagnosis: Diagnosis::OriginDown,
                detail: "".into(),
            },
            F::Unavailable { .. } => F::Protocol("x"),
            F::Protocol(_) => F::TimedOut(Deadline::Connect),
            F::TimedOut(Deadline::Connect) => F::TimedOut(Deadline::Handshake),
            F::TimedOut(Deadline::Handshake) => F::TimedOut(Deadline::Acceptance),
            F::TimedOut(Deadline::Acceptance) => F::TimedOut(Deadline::Silence),
            F::TimedOut(Deadline::Silence) => F::TimedOut(Deadline::Run),
            F::TimedOut(Deadline::Run) => F::Closed {
                close_code: 1000,
                diagnosis: Diagnosis::ClosedInHandshake,
            },
            F::Closed { .. } => F::Lost {
                close_code: 1006,
                cause: None,
            },
            F::Lost { .. } => F::Provider(ProviderFailure::Format),
            F::Provider(failure) => match next_of_provider(*failure) {
                Some(failure) => F::Provider(failure),
                None => F::Aborted,
            },
            F::Aborted => F::Retracted,
            F::Retracted => F::AnswerLost,
            F::AnswerLost => F::AnswerTooLarge { limit_bytes: 1 },
            // What the gateway refuses is told as what is no gateway.
            F::AnswerTooLarge { .. } | F::Refused(_) => return None,
        })
    }

    fn next_of_provider(failure: ProviderFailure) -> Option<ProviderFailure> {
        use ProviderFailure as P;
        Some(match failure {
            P::Format => P::ContextOverflow,
            P::ContextOverflow => P::ModelNotFound,
            P::ModelNotFound => P::RateLimit,
            P::RateLimit => P::Overloaded,
            P::Overloaded => P::Timeout,
            P::Timeout => P::ServerError,
            P::ServerError => P::Account,
            P::Account => P::Unclassified,
            P::Unclassified => return None,
        })
    }

    fn every() -> impl Iterator<Item = Failure> {
        std::iter::successors(Some(Failure::Unauthorized(Denial::Missing)), next)
    }

    /// Status, type and code; whether there is a `Retry-After`; and whether the SDKs are told not to try again, where nothing was started.
    fn row(failure: &Failure) -> String {
        let reply = failure.reply();
        let retry = match (reply.retry_after_s, failure.is_permanent()) {
            (Some(_), _) => "after `Retry-After`",
            (None, true) => "no",
            (None, false) => "",
        };
        format!(
            "| {} | `{}` | `{}` | {retry} |",
            reply.status, reply.body.kind, reply.body.code
        )
    }

    #[test]
    fn docs_list_every_error_and_no_other() {
        let documented: BTreeSet<String> = include_str!("../../docs/errors.md")
            .lines()
            .filter(|line| line.starts_with("| ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_digit))
            .map(|line| {
                let cells: Vec<&str> = line.split(" | ").collect();
                let [status, kind, code, retry, cause, mending] = cells.as_slice() else {
                    panic!("a row has six columns: {line}");
                };
                assert!(cause.len() > 10 && mending.len() > 10, "{line}");
                format!("{status} | {kind} | {code} | {retry} |")
            })
            .collect();
        let answered: BTreeSet<String> = every().map(|failure| row(&failure)).collect();
        assert_eq!(documented, answered);
    }

    #[test]
    fn an_error_has_words_and_nothing_but_invalid_requests_and_models_have_a_param() {
        for failure in every() {
            let body = failure.reply().body;
            assert!(!body.message.is_empty(), "{failure:?}");
            let has_param = matches!(failure, Failure::Invalid { .. } | Failure::ModelNotFound);
            assert_eq!(body.param.is_some(), has_param, "{failure:?}");
        }
    }
}
