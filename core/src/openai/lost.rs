//! The end of a body that broke between the hub and the edge.

use super::error::{ErrorResponse, Phase};
use super::responses::ResponsesWriter;
use crate::failure::Failure;
use crate::http::route::Api;
use crate::http::sse;
use crate::openai::delivery::Delivery;

/// Returns the bytes that end such a body in an error. `id` is that of the response; a response in
/// the background has none here.
/// The edge does not read bodies, so it knows nothing else of it.
///
/// A stream may have broken within an event. A whole answer has only blank lines before its object.
pub fn lost_body(api: Api, delivery: Delivery, id: &str, now_s: u64) -> Vec<u8> {
    let error = ErrorResponse::on(&Failure::HubLost, api, Phase::RunMayHaveStarted)
        .body
        .in_body();
    let mut out = b"\n\n".to_vec();
    match api {
        Api::Chat if delivery.is_stream() => {
            sse::data(&mut out, |out| error.write(out));
            sse::done(&mut out);
        }
        Api::Chat => error.write(&mut out),
        // It is in the background, and goes on.
        Api::Responses if delivery.is_stream() && id.is_empty() => {
            ResponsesWriter::foreign_error(&error, &mut out);
        }
        Api::Responses => ResponsesWriter::lost(delivery, id, now_s).fail(&error, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Delivery = Delivery::Stream {
        include_usage: false,
    };

    fn text(api: Api, delivery: Delivery) -> String {
        String::from_utf8(lost_body(api, delivery, "resp_1", 5)).unwrap()
    }

    #[test]
    fn a_broken_chat_ends_in_an_error_and_done() {
        let text = text(Api::Chat, STREAM);
        assert!(text.starts_with("\n\ndata: {\"error\":{\"message\":\"The service was restarted"));
        assert!(text.contains(r#""code":"hub_lost""#));
        assert!(text.ends_with("\n\ndata: [DONE]\n\n"));
    }

    #[test]
    fn a_broken_response_ends_as_failed() {
        let text = text(Api::Responses, STREAM);
        assert!(text.starts_with("\n\nevent: error\ndata: {\"type\":\"error\""));
        assert!(text.contains("\n\nevent: response.failed\ndata: "));
        assert!(text.contains(r#""response":{"id":"resp_1","object":"response","created_at":5"#));
        assert!(text.contains(r#""status":"failed""#));
    }

    #[test]
    fn a_response_in_the_background_does_not_end() {
        let text = String::from_utf8(lost_body(Api::Responses, STREAM, "", 5)).unwrap();
        assert!(text.starts_with("\n\nevent: error\ndata: {\"type\":\"error\""));
        assert_eq!(text.matches("event: ").count(), 1);
        assert!(!text.contains("sequence_number"), "{text}");
    }

    #[test]
    fn a_whole_answer_is_one_object_after_its_blank_lines() {
        for (api, code) in [(Api::Chat, "/error/code"), (Api::Responses, "/error/code")] {
            let object: serde_json::Value =
                serde_json::from_str(&text(api, Delivery::Whole)).unwrap();
            assert_eq!(object.pointer(code).unwrap(), "hub_lost", "{object}");
        }
    }
}
