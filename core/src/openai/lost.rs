//! The end of a stream that broke between the hub and the edge.

use super::error::{ErrorResponse, Phase};
use super::responses::ResponsesWriter;
use crate::failure::Failure;
use crate::http::route::Api;
use crate::http::sse;

/// Returns the events that end such a stream in an error. `id` is that of the response, if it has
/// one. The edge does not read streams, so it knows nothing else of the response.
pub fn lost_stream(api: Api, id: &str, now_s: u64) -> Vec<u8> {
    let error = ErrorResponse::on(&Failure::HubLost, api, Phase::RunMayHaveStarted)
        .body
        .in_body();
    // The stream may have broken within an event.
    let mut out = b"\n\n".to_vec();
    match api {
        Api::Chat => {
            sse::data(&mut out, |out| error.write(out));
            sse::done(&mut out);
        }
        Api::Responses => ResponsesWriter::lost(id, now_s).fail(&error, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(api: Api) -> String {
        String::from_utf8(lost_stream(api, "resp_1", 5)).unwrap()
    }

    #[test]
    fn a_broken_chat_ends_in_an_error_and_done() {
        let text = text(Api::Chat);
        assert!(text.starts_with("\n\ndata: {\"error\":{\"message\":\"The service was restarted"));
        assert!(text.contains(r#""code":"hub_lost""#));
        assert!(text.ends_with("\n\ndata: [DONE]\n\n"));
    }

    #[test]
    fn a_broken_response_ends_as_failed() {
        let text = text(Api::Responses);
        assert!(text.starts_with("\n\nevent: error\ndata: {\"type\":\"error\""));
        assert!(text.contains("\n\nevent: response.failed\ndata: "));
        assert!(text.contains(r#""response":{"id":"resp_1","object":"response","created_at":5"#));
        assert!(text.contains(r#""status":"failed""#));
    }
}
