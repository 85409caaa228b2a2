//! Requests for speech, on the connection of the runs.

use clawfront_core::access::key::KeyId;
use clawfront_core::failure::Failure;
use clawfront_core::hub::{Audio, Input, SpeechId};
use serde_json::{Value, json};

use crate::shared::{IDLE_MS, Shared, UNREACHABLE};

impl Shared {
    fn speak(&mut self, key: &str, text: &str) -> Result<SpeechId, Failure> {
        let key = KeyId::parse(key).unwrap();
        let id = self.hub.speak(&key, text.to_owned(), self.now_ms);
        self.settle();
        id
    }

    fn taken(&mut self, id: SpeechId) -> Option<Result<Audio, Failure>> {
        self.hub.take_spoken(id, self.now_ms)
    }

    fn spoken(&mut self, id: SpeechId, payload: &Value) -> Result<Audio, Failure> {
        self.respond("tts.speak", payload);
        self.taken(id).unwrap()
    }

    fn refused(&mut self, id: SpeechId, error: &Value) -> Failure {
        let request = self.take("tts.speak")["id"].clone();
        let response = json!({ "type": "res", "id": request, "ok": false, "error": error });
        self.frame(&response.to_string());
        self.taken(id).unwrap().unwrap_err()
    }
}

fn mp3(text: &str) -> Value {
    json!({ "audioBase64": text, "provider": "x", "mimeType": "audio/mpeg" })
}

#[test]
fn a_text_is_spoken_once_there_is_a_connection() {
    let mut shared = Shared::new(IDLE_MS);
    let id = shared.speak("phone", "Hi").unwrap();
    assert_eq!(shared.taken(id), None);
    shared.shake_hands();
    assert_eq!(shared.methods(), ["connect", "tts.speak"]);
    assert_eq!(shared.requests[1]["params"], json!({ "text": "Hi" }));
    let audio = Audio {
        content_type: "audio/mpeg",
        bytes: b"abc".to_vec(),
    };
    assert_eq!(shared.spoken(id, &mp3("YWJj")), Ok(audio));
    // It is taken once.
    assert_eq!(shared.taken(id), None);
}

#[test]
fn each_request_gets_its_own_audio() {
    let mut shared = Shared::connected();
    let first = shared.speak("phone", "one").unwrap();
    let second = shared.speak("phone", "two").unwrap();
    let later = shared.requests.pop().unwrap();
    assert_eq!(later["params"]["text"], "two");
    let response = json!({ "type": "res", "id": later["id"], "ok": true, "payload": mp3("Mg==") });
    shared.frame(&response.to_string());
    assert_eq!(shared.taken(first), None);
    assert_eq!(shared.taken(second).unwrap().unwrap().bytes, b"2");
    assert_eq!(shared.spoken(first, &mp3("MQ==")).unwrap().bytes, b"1");
}

#[test]
fn a_response_without_audio_that_may_be_passed_on_is_a_failure() {
    let mut shared = Shared::connected();
    let large = "A".repeat(11_184_816);
    for payload in [
        json!({ "audioBase64": "YWJj", "provider": "x" }),
        json!({ "audioBase64": "YWJj", "mimeType": "text/html" }),
        json!({ "audioBase64": "YWJj", "mimeType": "audio/mpeg\r\nx: y" }),
        json!({ "audioBase64": "YW<j", "mimeType": "audio/mpeg" }),
        json!({ "audioBase64": 7, "mimeType": "audio/mpeg" }),
        json!({ "mimeType": "audio/mpeg" }),
        json!([]),
        mp3(&large),
    ] {
        let id = shared.speak("phone", "Hi").unwrap();
        let failure = shared.spoken(id, &payload).unwrap_err();
        assert_eq!(failure.code(), "speech_failed");
    }
    let id = shared.speak("phone", "Hi").unwrap();
    let audio = shared.spoken(id, &mp3(large.get(12..).unwrap())).unwrap();
    assert_eq!(audio.bytes.len(), 8_388_603);
}

#[test]
fn a_refusal_is_told_by_its_code() {
    let mut shared = Shared::connected();
    for (error, code) in [
        (
            json!({ "code": "INVALID_REQUEST", "message": "secret" }),
            "invalid_request",
        ),
        (
            json!({ "code": "UNAVAILABLE", "message": "secret" }),
            "speech_failed",
        ),
        (
            json!({ "code": "UNAVAILABLE", "retryAfterMs": 2000 }),
            "gateway_unavailable",
        ),
        (
            json!({ "code": "FORBIDDEN", "message": "secret" }),
            "gateway_refused",
        ),
    ] {
        let id = shared.speak("phone", "Hi").unwrap();
        let failure = shared.refused(id, &error);
        assert_eq!(failure.code(), code);
        assert!(!format!("{failure:?}").contains("secret"));
    }
}

#[test]
fn requests_end_with_their_connection() {
    let mut shared = Shared::connected();
    let id = shared.speak("phone", "Hi").unwrap();
    shared.give(Input::Closed { code: 1011 });
    let failure = shared.taken(id).unwrap().unwrap_err();
    assert_eq!(failure.code(), "gateway_closed");
    let id = shared.speak("phone", "Hi").unwrap();
    shared.give(Input::Failed(UNREACHABLE));
    assert_eq!(shared.taken(id), Some(Err(UNREACHABLE)));
}

#[test]
fn an_end_that_is_not_taken_yet_is_not_changed_by_the_next_connection() {
    let mut shared = Shared::connected();
    let first = shared.speak("phone", "one").unwrap();
    shared.give(Input::Closed { code: 1011 });
    let second = shared.speak("phone", "two").unwrap();
    shared.shake_hands();
    // The numbers of requests begin again.
    assert_eq!(shared.spoken(second, &mp3("Mg==")).unwrap().bytes, b"2");
    assert_eq!(
        shared.taken(first).unwrap().unwrap_err().code(),
        "gateway_closed"
    );
}

#[test]
fn a_response_that_is_too_large_ends_its_request_alone() {
    let mut shared = Shared::connected();
    let (first, second) = (shared.speak("phone", "1"), shared.speak("phone", "2"));
    let request = shared.take("tts.speak")["id"].clone();
    let request = request.as_str().unwrap();
    let frame = format!(
        r#"{{"type":"res","id":"{request}","x":"{}"#,
        "x".repeat(26_214_400)
    );
    shared.frame(&frame);
    let failure = shared.taken(first.unwrap()).unwrap().unwrap_err();
    assert_eq!(failure.code(), "gateway_protocol_error");
    assert_eq!(shared.taken(second.unwrap()), None);
    assert_eq!(shared.disconnects, 0);
}

#[test]
fn a_connection_that_speaks_is_not_idle() {
    let mut shared = Shared::new(1_000);
    let id = shared.speak("phone", "hi").unwrap();
    shared.shake_hands();
    shared.pass_ms(5_000);
    assert_eq!(shared.disconnects, 0);
    assert!(shared.spoken(id, &mp3("hi")).is_ok());
    shared.pass_ms(1_000);
    assert_eq!(shared.disconnects, 1);
}

#[test]
fn a_request_without_a_response_ends_and_frees_the_connection() {
    let mut shared = Shared::connected();
    let id = shared.speak("phone", "Hi").unwrap();
    shared.frame(r#"{"type":"event","event":"tick","payload":{}}"#);
    shared.pass_ms(59_999);
    assert_eq!(shared.taken(id), None);
    shared.pass_ms(1);
    let failure = shared.taken(id).unwrap().unwrap_err();
    assert_eq!(failure.code(), "speech_failed");
    // A late response is nobody's.
    shared.respond("tts.speak", &mp3("YWJj"));
    assert_eq!(shared.taken(id), None);
}

#[test]
fn a_key_leaves_as_many_requests_free_as_it_has() {
    let mut shared = Shared::connected();
    let speak = |shared: &mut Shared, key, count: usize| {
        let spoken = (0..count).filter(|_| shared.speak(key, "Hi").is_ok());
        spoken.count()
    };
    assert_eq!(speak(&mut shared, "phone", 20), 8);
    assert_eq!(speak(&mut shared, "tablet", 20), 4);
    assert_eq!(shared.speak("phone", "Hi"), Err(Failure::TooManyStreams));
    // Those whose caller is gone make room.
    shared.frame(r#"{"type":"event","event":"tick","payload":{}}"#);
    shared.pass_ms(60_000);
    assert_eq!(speak(&mut shared, "phone", 20), 8);
}
