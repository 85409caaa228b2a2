//! The status and the type of a failure, by API and by the phase of the run.
//!
//! A run has effects, so a client that sends its request again by itself starts it twice. The
//! official SDKs read `x-should-retry: false`. Other clients decide by what they know: the status,
//! and within a stream the `type` or the `code`. So a failure after a run may have started is sent
//! as one that they all take as final. `code` names the cause in every phase. Source: Codex
//! 0.171.0, aider 0.86.2, qwen-code 0.24.4, dspy 3.4.1, litellm 1.110.2, llama-index 0.14.25,
//! async-openai 0.43.0, mastra 1.71.0, measured; docs/clients.md has the counts.

/// The status of a failure after which no client may send the request again. 422 would name the
/// fault better, but Codex then sends the request six times and aider twice.
pub(super) const FINAL_STATUS: u16 = 400;

/// The type of such a failure. Within a stream, qwen-code tries again after `api_error` and
/// opencode after `server_error`.
pub(super) const FINAL_TYPE: &str = "invalid_request_error";

/// The status of a request whose key is not valid.
pub(super) const KEY_STATUS: u16 = 401;

/// The status of a failure on the Responses API before a run, if it is temporary: SDKs try again as
/// after a 503. After any 5xx Codex sends 30 requests, six times five. After 408 it sends six, and
/// shows the message. After 429 it sends one, but shows no message.
pub(super) const RESPONSES_RETRY_STATUS: u16 = 408;

/// `error.code` of the event `response.failed`. Codex takes few codes as final; this is the only
/// one of which it shows the message.
const FINAL_RESPONSE_CODE: &str = "invalid_prompt";

/// A code that Codex takes as final, too. It reacts by making the conversation shorter.
const CONTEXT_LENGTH: &str = "context_length_exceeded";

/// The phase of the run in which it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No run can have started, so the request can be sent again.
    BeforeRun,
    /// A run may have started.
    RunMayHaveStarted,
}

/// Returns the `error.code` of the event `response.failed` for an error with this code.
pub(crate) fn failed_response_code(code: &'static str) -> &'static str {
    if code == CONTEXT_LENGTH {
        code
    } else {
        FINAL_RESPONSE_CODE
    }
}
