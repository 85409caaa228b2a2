//! Tests of the table, against docs/errors.md.

use std::collections::BTreeSet;

use super::*;
use crate::failure::diagnosis::Diagnosis;
use crate::failure::{Allowance, Deadline, Denial, ProviderFailure, SpentQuota};

/// Returns the failure that is declared after this one. A new failure has to be added here.
fn next(failure: &Failure) -> Option<Failure> {
    use Failure as F;
    let allowance = Allowance {
        limit: 30,
        remaining: 0,
        reset_s: 60,
    };
    Some(match failure {
        F::InvalidApiKey(_) => F::TooManyFailedAttempts {
            retry_after_s: 60,
            is_first: true,
        },
        F::TooManyFailedAttempts { .. } => F::ApiKeyExpired,
        F::ApiKeyExpired => F::MissingScope("chat"),
        F::MissingScope(_) => F::OriginNotAllowed,
        F::OriginNotAllowed => F::RateLimitExceeded(allowance),
        F::RateLimitExceeded(_) => F::InsufficientQuota(SpentQuota {
            unit: "tokens of this day",
            limit: 5,
            used: 6,
            resets_s: 0,
        }),
        F::InsufficientQuota(_) => F::IdempotencyKeyReused,
        F::IdempotencyKeyReused => F::RunInProgress,
        F::RunInProgress => F::ConcurrentRunsExceeded {
            limit: 2,
            retry_after_s: 5,
        },
        F::ConcurrentRunsExceeded { .. } => F::UnknownUrl,
        F::UnknownUrl => F::MethodNotAllowed { allow: "POST" },
        F::MethodNotAllowed { .. } => F::RequestTooLarge { limit_bytes: 1 },
        F::RequestTooLarge { .. } => F::RequestTimeout,
        F::RequestTimeout => F::UnsupportedContentEncoding,
        F::UnsupportedContentEncoding => F::invalid("n", "m"),
        F::InvalidRequest { .. } => F::ModelNotFound,
        F::ModelNotFound => F::KeyNotFound,
        F::KeyNotFound => F::RunNotFound,
        F::RunNotFound => F::ResponseNotFound,
        F::ResponseNotFound => F::FileNotFound,
        F::FileNotFound => F::CommandNotAllowed,
        F::CommandNotAllowed => F::ClientTooSlow,
        F::ClientTooSlow => F::ClientClosedRequest,
        F::ClientClosedRequest => F::Misconfigured,
        F::Misconfigured => F::TooManyStreams,
        F::TooManyStreams => F::TooManyLargeBodies,
        F::TooManyLargeBodies => F::HubUnavailable,
        F::HubUnavailable => F::HubLost,
        F::HubLost => F::InternalError,
        F::InternalError => F::Bug("x"),
        F::Bug(_) => F::GatewayUnreachable(Diagnosis::Dns),
        F::GatewayUnreachable(_) => F::NotAGateway {
            status: 404,
            diagnosis: Diagnosis::NotAGateway,
        },
        F::NotAGateway { .. } => F::GatewayUnavailable {
            retry_after_s: 5,
            diagnosis: Diagnosis::OriginDown,
            detail: "".into(),
        },
        F::GatewayUnavailable { .. } => F::SpeechFailed("x"),
        F::SpeechFailed(_) => F::GatewayProtocolError("x"),
        F::GatewayProtocolError(_) => F::TimedOut(Deadline::Connect),
        F::TimedOut(Deadline::Connect) => F::TimedOut(Deadline::Handshake),
        F::TimedOut(Deadline::Handshake) => F::TimedOut(Deadline::Acceptance),
        F::TimedOut(Deadline::Acceptance) => F::TimedOut(Deadline::Silence),
        F::TimedOut(Deadline::Silence) => F::TimedOut(Deadline::Run),
        F::TimedOut(Deadline::Run) => F::GatewayClosed {
            close_code: 1000,
            diagnosis: Diagnosis::ClosedInHandshake,
        },
        F::GatewayClosed { .. } => F::GatewayConnectionLost {
            close_code: 1006,
            cause: None,
        },
        F::GatewayConnectionLost { .. } => F::Provider(ProviderFailure::Format),
        F::Provider(failure) => match next_of_provider(*failure) {
            Some(failure) => F::Provider(failure),
            None => F::RunAborted,
        },
        F::RunAborted => F::RunInterrupted,
        F::RunInterrupted => F::AnswerRetracted,
        F::AnswerRetracted => F::AnswerLost,
        F::AnswerLost => F::AnswerInvalid { problem: "".into() },
        F::AnswerInvalid { .. } => F::AnswerTooLarge { limit_bytes: 1 },
        // The message for a gateway's refusal is the one for a server that is not a gateway.
        F::AnswerTooLarge { .. } | F::GatewayRefused(_) => return None,
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

/// Returns true if the failure cannot occur before a run.
fn is_of_run(failure: &Failure) -> bool {
    failure.is_of_run() || matches!(failure, Failure::ClientTooSlow)
}

fn every() -> impl Iterator<Item = Failure> {
    std::iter::successors(Some(Failure::InvalidApiKey(Denial::Missing)), next)
}

/// Returns the status, the type and the code; whether there is a `Retry-After`; and whether the
/// SDKs must not try again.
fn row(failure: &Failure) -> String {
    let reply = ErrorResponse::of(failure);
    let retry = match (
        reply.retry_after_s,
        failure.is_permanent() || is_of_run(failure),
    ) {
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
    let documented: BTreeSet<String> = include_str!("../../../../docs/errors.md")
        .lines()
        .filter(|line| {
            line.starts_with("| ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_digit)
        })
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

/// Returns the rows of the table of phases, in the words of docs/errors.md.
fn phases() -> Vec<String> {
    let listed = |is_it: &dyn Fn(&Failure) -> bool, api, phase| {
        let replies: Vec<_> = every()
            .filter(|failure| ErrorResponse::of(failure).status >= 500 || is_of_run(failure))
            .filter(|failure| !matches!(failure, Failure::ClientTooSlow) && is_it(failure))
            .map(|failure| ErrorResponse::on(&failure, api, phase))
            .collect();
        let may_repeat = replies
            .iter()
            .all(|reply| reply.may_repeat && reply.retry_after_s.is_some());
        assert!(may_repeat || replies.iter().all(|reply| !reply.may_repeat));
        let statuses: BTreeSet<_> = replies
            .iter()
            .map(|reply| reply.status.to_string())
            .collect();
        let header = if may_repeat {
            "Retry-After"
        } else {
            "x-should-retry: false"
        };
        format!("{} with `{header}`", Vec::from_iter(statuses).join(", "))
    };
    let may_pass = |failure: &Failure| !failure.is_permanent() && !is_of_run(failure);
    let stays = |failure: &Failure| failure.is_permanent() && !is_of_run(failure);
    let row = |name: &str, is_it: &dyn Fn(&Failure) -> bool, phase| {
        let of = |api| listed(is_it, api, phase);
        format!("| {name} | {} | {} |", of(Api::Chat), of(Api::Responses))
    };
    vec![
        row("before a run, and it may pass", &may_pass, Phase::BeforeRun),
        row("before a run, and it stays", &stays, Phase::BeforeRun),
        row(
            "a run may have started",
            &|_| true,
            Phase::RunMayHaveStarted,
        ),
    ]
}

#[test]
fn docs_have_the_status_of_every_phase() {
    let text = include_str!("../../../../docs/errors.md");
    for row in phases() {
        assert!(text.contains(&row), "docs/errors.md lacks {row}");
    }
}

#[test]
fn once_a_run_may_have_started_every_failure_is_final_and_names_its_cause() {
    for failure in every().filter(|failure| ErrorResponse::of(failure).status != 401) {
        for api in [Api::Chat, Api::Responses] {
            let reply = ErrorResponse::on(&failure, api, Phase::RunMayHaveStarted);
            assert_eq!(
                (reply.status, reply.body.kind),
                (400, "invalid_request_error"),
                "{failure:?}"
            );
            assert!(
                !reply.may_repeat && reply.retry_after_s.is_none(),
                "{failure:?}"
            );
            assert_eq!(reply.body.code, ErrorResponse::of(&failure).body.code);
            // litellm takes these words for a rate limit, and aider asks again then.
            let text = format!("{} {}", reply.body.message, reply.body.code);
            let joined = text.to_lowercase().replace([' ', '_', '-'], "");
            assert!(
                !is_of_run(&failure) || !joined.contains("ratelimit"),
                "{text}"
            );
        }
    }
}

#[test]
fn an_error_has_words_and_nothing_but_invalid_requests_and_models_have_a_param() {
    for failure in every() {
        let body = ErrorResponse::of(&failure).body;
        assert!(!body.message.is_empty(), "{failure:?}");
        let has_param = matches!(
            failure,
            Failure::InvalidRequest { .. } | Failure::ModelNotFound
        );
        assert_eq!(body.param.is_some(), has_param, "{failure:?}");
    }
}

#[test]
fn the_tables_have_every_code_once_and_no_other() {
    let codes = |is_of_run| -> BTreeSet<_> {
        let mut failures: Vec<_> = every().collect();
        failures.retain(|failure| failure.is_of_run() == is_of_run);
        failures.iter().map(Failure::code).collect()
    };
    let (before, of_run): (BTreeSet<_>, BTreeSet<_>) = (
        table::codes_before_run().collect(),
        table::codes_of_run().collect(),
    );
    assert_eq!((before, of_run), (codes(false), codes(true)));
    assert_eq!(table::codes_before_run().count(), codes(false).len());
    assert_eq!(table::codes_of_run().count(), codes(true).len());
}

#[test]
fn a_page_that_may_use_the_key_can_read_an_error() {
    let origin = crate::access::origin::Origin::parse("https://chat.example.com");
    let meta = ResponseMeta {
        origin,
        ..ResponseMeta::default()
    };
    let (head, body) = refuse(&meta, &Failure::UnknownUrl);
    assert!(head.headers.contains(&(
        "access-control-allow-origin",
        "https://chat.example.com".to_owned()
    )));
    assert!(body.starts_with(br#"{"error":{"message":"Unknown path."#));
}
