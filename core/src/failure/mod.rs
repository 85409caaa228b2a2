//! The ways in which a request fails, as data.
//!
//! No HTTP status and no OpenAI shape: those are in `openai/error`. Here is the code of a failure,
//! for the response and the log, and the cause and the fix, for the log only. Neither contains a
//! prompt, an answer, a key or the gateway's prose.
//!
//! The types that a failure carries are below this file: it imports them, they do not import it.

pub mod allowance;
pub mod cause;
pub mod deadline;
pub mod denial;
pub mod diagnosis;
pub mod provider;
pub mod refusal;

use std::borrow::Cow;

pub use allowance::{Allowance, SpentQuota};
pub use cause::Cause;
pub use deadline::Deadline;
pub use denial::Denial;
use diagnosis::{Diagnosis, Stage};
pub use provider::ProviderFailure;
pub use refusal::Refusal;

/// Seconds after which a starting or draining gateway is worth another try, if it does not send a
/// time itself.
pub const RETRY_AFTER_S: u32 = 5;

/// A way in which a request fails. A variant spells its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    // Faults of the caller.
    /// No key, or none that is valid. The response is the same for every denial.
    InvalidApiKey(Denial),
    /// Too many requests without a valid key from one address.
    TooManyFailedAttempts {
        retry_after_s: u32,
        /// True for the first of its minute, the only one that is logged.
        is_first: bool,
    },
    /// The key expired during its request.
    ApiKeyExpired,
    /// The key is valid, but lacks the scope of this name.
    MissingScope(&'static str),
    /// The key is valid, but not from a page of this origin.
    OriginNotAllowed,
    /// The key has no requests left in this minute.
    RateLimitExceeded(Allowance),
    /// The key has used up its tokens or runs of this day or month.
    InsufficientQuota(SpentQuota),
    /// The `Idempotency-Key` came with another request before.
    IdempotencyKeyReused,
    /// An earlier attempt's run may be active, and the gateway may have forgotten that it was asked
    /// for.
    RunInProgress,
    /// The key has as many active runs as its limit allows.
    ConcurrentRunsExceeded {
        limit: u32,
        retry_after_s: u32,
    },
    UnknownUrl,
    MethodNotAllowed {
        allow: &'static str,
    },
    RequestTooLarge {
        limit_bytes: usize,
    },
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body has a content coding that is not decoded here.
    UnsupportedContentEncoding,
    InvalidRequest {
        param: Option<String>,
        message: Cow<'static, str>,
    },
    /// The gateway does not have the model, or the key may not use it. The response does not
    /// distinguish the two.
    ModelNotFound,
    /// The hub has no key with this id.
    KeyNotFound,
    /// The hub has no run with this id.
    RunNotFound,
    /// The key has no stored response with this id.
    ResponseNotFound,
    /// The key has no file with this id, or the gateway does not have it any more.
    FileNotFound,
    /// The message is a command that needs more rights than a client has.
    CommandNotAllowed,
    /// The client reads its stream more slowly than the agent writes, and the unread part exceeds
    /// the buffer.
    ClientTooSlow,
    /// The caller closed the connection. Nobody reads the response; the log has the fact.
    ClientClosedRequest,

    // Faults of the operator.
    Misconfigured,
    /// The hub has as many streams as its limit allows.
    TooManyStreams,
    /// The bodies of this key, or of all keys, take as many bytes as their limit allows.
    TooManyLargeBodies,
    /// The hub could not take the request: it is overloaded, or being reset.
    HubUnavailable,
    /// The hub was reset while it had the request. A run may have been started for it.
    HubLost,
    /// The runtime failed; the log has its message.
    InternalError,
    /// A bug of ours, named by the state that must not occur. Its code is `internal_error`, too.
    Bug(&'static str),

    // Faults of the gateway.
    /// It does not answer.
    GatewayUnreachable(Diagnosis),
    /// Something that is not a gateway answered the upgrade. Its code is `gateway_refused`, too.
    NotAGateway {
        status: u16,
        diagnosis: Diagnosis,
    },
    /// The gateway does not accept us.
    GatewayRefused(Refusal),
    /// Starting, draining, or locked for a while. Nothing was started, so another try is safe.
    GatewayUnavailable {
        retry_after_s: u32,
        diagnosis: Diagnosis,
        /// The gateway's code, a status, or a close code.
        detail: Cow<'static, str>,
    },
    /// It broke its own protocol.
    GatewayProtocolError(&'static str),
    /// A deadline passed.
    TimedOut(Deadline),
    /// It closed the connection before anything was started.
    GatewayClosed {
        close_code: u16,
        diagnosis: Diagnosis,
    },
    /// It made no speech of a text, for this reason.
    SpeechFailed(&'static str),
    /// The connection ended during the run, and the run could not be found again.
    GatewayConnectionLost {
        close_code: u16,
        /// The reason why the run could not be found.
        cause: Option<Cause>,
    },

    // Faults of the run.
    Provider(ProviderFailure),
    /// An administrator or another client stopped it, or the gateway's own time limit.
    RunAborted,
    /// The gateway restarted during the run, or forgot it, and its session does not have the end.
    RunInterrupted,
    /// The agent took back text that was already sent.
    AnswerRetracted,
    /// The run finished, but the text that it emitted while there was no connection is lost.
    AnswerLost,
    /// The answer must be a call of a function, and does not fit the function's parameters.
    AnswerInvalid {
        /// Names members of the parameters, and nothing of the answer.
        problem: Box<str>,
    },
    AnswerTooLarge {
        limit_bytes: usize,
    },
}

impl Failure {
    pub fn invalid(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest {
            param: Some(param.into()),
            message: message.into(),
        }
    }

    /// Returns the code: `error.code` of a response, and `end` of a line in the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidApiKey(_) => "invalid_api_key",
            Self::TooManyFailedAttempts { .. } => "too_many_failed_attempts",
            Self::ApiKeyExpired => "api_key_expired",
            Self::MissingScope(_) => "missing_scope",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::RateLimitExceeded(_) => "rate_limit_exceeded",
            Self::InsufficientQuota(_) => "insufficient_quota",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::RunInProgress => "run_in_progress",
            Self::ConcurrentRunsExceeded { .. } => "concurrent_runs_exceeded",
            Self::UnknownUrl => "unknown_url",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::RequestTooLarge { .. } => "request_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::UnsupportedContentEncoding => "unsupported_content_encoding",
            Self::InvalidRequest { .. } => "invalid_request",
            Self::ModelNotFound => "model_not_found",
            Self::KeyNotFound => "key_not_found",
            Self::RunNotFound => "run_not_found",
            Self::ResponseNotFound => "response_not_found",
            Self::FileNotFound => "file_not_found",
            Self::CommandNotAllowed => "command_not_allowed",
            Self::ClientTooSlow => "client_too_slow",
            Self::ClientClosedRequest => "client_closed_request",
            Self::Misconfigured => "misconfigured",
            Self::TooManyStreams => "too_many_streams",
            Self::TooManyLargeBodies => "too_many_large_bodies",
            Self::HubUnavailable => "hub_unavailable",
            Self::HubLost => "hub_lost",
            Self::InternalError | Self::Bug(_) => "internal_error",
            Self::GatewayUnreachable(_) => "gateway_unreachable",
            Self::NotAGateway { .. } | Self::GatewayRefused(_) => "gateway_refused",
            Self::GatewayUnavailable { .. } => "gateway_unavailable",
            Self::GatewayProtocolError(_) => "gateway_protocol_error",
            Self::TimedOut(deadline) => deadline.code(),
            Self::GatewayClosed { .. } => "gateway_closed",
            Self::SpeechFailed(_) => "speech_failed",
            Self::GatewayConnectionLost { .. } => "gateway_connection_lost",
            Self::Provider(failure) => failure.code(),
            Self::RunAborted => "run_aborted",
            Self::RunInterrupted => "run_interrupted",
            Self::AnswerRetracted => "answer_retracted",
            Self::AnswerLost => "answer_lost",
            Self::AnswerInvalid { .. } => "answer_invalid",
            Self::AnswerTooLarge { .. } => "answer_too_large",
        }
    }

    /// Returns true if it can only occur after a run may have started.
    pub fn is_of_run(&self) -> bool {
        match self {
            Self::HubLost
            | Self::GatewayConnectionLost { .. }
            | Self::Provider(_)
            | Self::RunAborted
            | Self::RunInterrupted
            | Self::AnswerRetracted
            | Self::AnswerLost
            | Self::AnswerInvalid { .. }
            | Self::AnswerTooLarge { .. } => true,
            Self::TimedOut(deadline) => deadline.is_of_run(),
            _ => false,
        }
    }

    /// Returns true if the client's side ended its request, and not the run or the gateway.
    pub fn is_of_client(&self) -> bool {
        matches!(
            self,
            Self::ClientClosedRequest | Self::ClientTooSlow | Self::ApiKeyExpired
        )
    }

    /// Returns true if the same request cannot succeed later, or may make the gateway lock the
    /// Worker's address out.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::GatewayRefused(_)
                | Self::NotAGateway { .. }
                | Self::GatewayClosed {
                    diagnosis: Diagnosis::DeviceRemoved,
                    ..
                }
                | Self::Misconfigured
                | Self::InternalError
                | Self::Bug(_)
                | Self::TooManyFailedAttempts { .. }
                | Self::ApiKeyExpired
                | Self::InsufficientQuota(_)
                | Self::IdempotencyKeyReused
                | Self::RunInProgress
                | Self::SpeechFailed(_)
        )
    }

    /// Returns true if the failure is logged. Of a flood of wrong keys, one line a minute and
    /// address is enough.
    pub fn is_logged(&self) -> bool {
        !matches!(
            self,
            Self::TooManyFailedAttempts {
                is_first: false,
                ..
            }
        )
    }

    /// Returns what is wrong with the connection to the gateway, if the connection failed.
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        match self {
            Self::GatewayRefused(refusal) => Some(refusal.diagnosis),
            Self::GatewayUnreachable(diagnosis)
            | Self::NotAGateway { diagnosis, .. }
            | Self::GatewayUnavailable { diagnosis, .. }
            | Self::GatewayClosed { diagnosis, .. } => Some(*diagnosis),
            Self::GatewayProtocolError(_) => Some(Diagnosis::ProtocolError),
            Self::GatewayConnectionLost { close_code, .. } => {
                Some(Diagnosis::of_close(Stage::Ready, *close_code))
            }
            Self::TimedOut(Deadline::Connect) => Some(Diagnosis::ConnectTimeout),
            Self::TimedOut(Deadline::Handshake) => Some(Diagnosis::HandshakeTimeout),
            Self::TimedOut(Deadline::Silence) => Some(Diagnosis::Silent),
            _ => None,
        }
    }

    /// Returns the details for the log beyond [`Failure::code`].
    pub fn cause(&self) -> Option<Cause> {
        let detail = match self {
            Self::InvalidApiKey(denial) => {
                return Some(Cause::new(denial.code(), denial.message()));
            }
            Self::ModelNotFound => {
                return Some(Cause::new(
                    "no_agent",
                    "the key may not reach this agent, or the gateway has none of this name; for \
                     the model openclaw, add default=<agent> to the key's entry where the gateway \
                     has no default agent",
                ));
            }
            Self::RateLimitExceeded(_)
            | Self::InsufficientQuota(_)
            | Self::ConcurrentRunsExceeded { .. } => {
                return Some(Cause::new(
                    "key_limit",
                    "the key's entry in CLIENT_KEYS sets rpm, runs, tokens_day, tokens_month and \
                     runs_day; no key takes more of the hub's places than it leaves free",
                ));
            }
            Self::GatewayConnectionLost {
                cause: Some(cause), ..
            } => return Some(cause.clone()),
            Self::Bug(state) => {
                return Some(Cause {
                    detail: Some((*state).into()),
                    ..Cause::new("bug", "report it to the project, with this line")
                });
            }
            Self::GatewayRefused(refusal) => Some(refusal.code.clone()),
            Self::GatewayUnavailable { detail, .. } => Some(detail.clone()),
            Self::GatewayProtocolError(fact) => Some((*fact).into()),
            Self::NotAGateway { status: number, .. }
            | Self::GatewayClosed {
                close_code: number, ..
            }
            | Self::GatewayConnectionLost {
                close_code: number, ..
            } => Some(number.to_string().into()),
            _ => None,
        };
        let diagnosis = self.diagnosis()?;
        let fix = match self {
            Self::GatewayRefused(refusal) => refusal.fix(),
            _ => diagnosis.fix().into(),
        };
        Some(Cause {
            code: diagnosis.code().into(),
            detail,
            fix: [diagnosis.message(), ": ", &*fix].concat().into(),
        })
    }
}
