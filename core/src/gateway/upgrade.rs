//! The HTTP request that opens the WebSocket, and what it means when something else than a gateway answers it.

use serde::Deserialize;

use crate::error::{Failure, RETRY_AFTER_S, UpgradeRefusal};

/// As much of a refusal's body as is read, in bytes: the gateway's own are one short JSON object.
pub const MAX_REFUSAL_BYTES: usize = 2048;

/// What an upgrade that was answered with `status` means; `body` is the beginning of what came with it.
///
/// Source: OpenClaw 2026.9.6 answers 403 with the error type `proxy_attribution_required` when it does not trust the
/// proxy in front of it; a tunnel answers 502, 503 or 530 while the gateway behind it is down.
pub fn refused(status: u16, body: &[u8]) -> Failure {
    match status {
        502..=504 | 520..=530 => Failure::Unavailable {
            retry_after_s: RETRY_AFTER_S,
            refusal: None,
        },
        403 if names_proxy_attribution(body) => Failure::NotAGateway {
            status,
            why: UpgradeRefusal::ProxyAttribution,
        },
        300..=399 => Failure::NotAGateway {
            status,
            why: UpgradeRefusal::Redirect,
        },
        _ => Failure::NotAGateway {
            status,
            why: UpgradeRefusal::Status,
        },
    }
}

fn names_proxy_attribution(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: BodyError<'a>,
    }
    #[derive(Deserialize)]
    struct BodyError<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
    }
    serde_json::from_slice::<Body<'_>>(body).is_ok_and(|body| body.error.kind == "proxy_attribution_required")
}
