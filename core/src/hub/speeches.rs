//! The requests for the gateway's speech, on the connection of the runs.

use serde_json::value::RawValue;

use crate::access::key::KeyId;
use crate::failure::Failure;
use crate::gateway::link::{Rejection, RequestId};
use crate::gateway::speech::{METHOD, SpeakParams, SpokenAudio, failure};
use crate::openai::speech::decode;

use super::Hub;
use super::speech::{Audio, MAX_AUDIO_BYTES, MAX_SPEECHES, SPEECH_MS, Speech, SpeechId};

impl Hub {
    /// Asks for the speech of a text. The caller calls [`Hub::take_spoken`] until it has the end.
    pub fn speak(&mut self, key: &KeyId, text: String, now_ms: u64) -> Result<SpeechId, Failure> {
        // The runtime may end a caller without notice.
        self.speeches.retain(|speech| !speech.is_late(now_ms));
        let own = self.speeches.iter().filter(|speech| speech.key == *key);
        if own.count() >= MAX_SPEECHES.saturating_sub(self.speeches.len()) {
            return Err(Failure::TooManyStreams);
        }
        self.last_id = self.last_id.wrapping_add(1);
        let id = SpeechId(self.last_id);
        self.speeches.push(Speech {
            id,
            key: key.clone(),
            text,
            until_ms: now_ms.saturating_add(SPEECH_MS),
            request: None,
            end: None,
        });
        if self.needs_connection(now_ms) {
            self.send_speeches();
        }
        Ok(id)
    }

    /// Takes the end of a request, if it has ended or its time is over.
    pub fn take_spoken(&mut self, id: SpeechId, now_ms: u64) -> Option<Result<Audio, Failure>> {
        let is_over =
            |speech: &Speech| speech.id == id && (speech.end.is_some() || speech.is_late(now_ms));
        let index = self.speeches.iter().position(is_over)?;
        let end = self.speeches.swap_remove(index).end;
        self.release(now_ms);
        end.or(Some(Err(Failure::SpeechFailed(
            "it did not answer in time",
        ))))
    }

    /// Returns true if a request has not ended.
    pub(super) fn is_speaking(&self) -> bool {
        self.speeches.iter().any(|speech| speech.end.is_none())
    }

    /// Sends the requests that wait for the connection.
    pub(super) fn send_speeches(&mut self) {
        for speech in &mut self.speeches {
            if speech.request.is_none() {
                let params = SpeakParams { text: &speech.text };
                let frames = &mut self.orders.frames;
                speech.request = self.link.request(METHOD, &params, frames).ok();
            }
        }
    }

    /// Takes a response, if it is to one of the requests.
    pub(super) fn receive_speech(
        &mut self,
        id: RequestId,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        now_ms: u64,
    ) {
        let mut speeches = self.speeches.iter_mut();
        if let Some(speech) =
            speeches.find(|speech| speech.end.is_none() && speech.request == Some(id))
        {
            speech.end = Some(match result {
                Ok(payload) => read(payload).ok_or(Failure::SpeechFailed(
                    "it sent no audio of a known type and of at most 8 MiB",
                )),
                Err(rejection) => Err(failure(&rejection)),
            });
            self.release(now_ms);
        }
    }

    /// Ends the request with this id, or all, with a failure.
    pub(super) fn fail_speeches(&mut self, id: Option<RequestId>, failure: &Failure) {
        for speech in &mut self.speeches {
            if speech.end.is_none() && (id.is_none() || speech.request == id) {
                speech.end = Some(Err(failure.clone()));
            }
        }
    }
}

fn read(payload: Option<&RawValue>) -> Option<Audio> {
    let response = SpokenAudio::read(payload)?;
    Some(Audio {
        content_type: response.content_type()?,
        bytes: decode(&response.audio_base64, MAX_AUDIO_BYTES)?,
    })
}
