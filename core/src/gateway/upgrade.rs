//! The HTTP request that opens the WebSocket, and what it means when something else than a gateway answers it.

use crate::error::{Failure, RETRY_AFTER_S};
use crate::gateway::diagnosis::{Answer, Diagnosis};

/// What an answer to the upgrade means that is no WebSocket.
pub fn refused(answer: &Answer<'_>) -> Failure {
    let (status, diagnosis) = (answer.status, Diagnosis::of_answer(answer));
    match diagnosis {
        Diagnosis::OriginDown => Failure::Unavailable {
            retry_after_s: RETRY_AFTER_S,
            diagnosis,
            detail: status.to_string().into(),
        },
        Diagnosis::ConnectTimeout | Diagnosis::ConnectionRefused | Diagnosis::Dns | Diagnosis::Tls => {
            Failure::Unreachable(diagnosis)
        }
        _ => Failure::NotAGateway { status, diagnosis },
    }
}
