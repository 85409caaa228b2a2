//! Cases of the work for each frame of a run.

use std::hint::black_box;

use clawfront_core::config::Config;
use clawfront_core::exchange::{Exchange, Output};
use clawfront_core::hub::{Hub, Input};
use clawfront_core::openai::Writer;
use clawfront_core::openai::chat::ChatWriter;

use crate::frames::{self, Delta, NOW_MS, Protocol};
use crate::{Ready, Stage, keys};

/// A signature of the right length, because the Worker does not make it.
const SIGNATURE: &str =
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Reads the challenge, and writes `connect` with the signature.
pub(crate) fn challenge(protocol: Protocol) -> Stage {
    feeding(&[], vec![frames::challenge(protocol)])
}

pub(crate) fn hello(protocol: Protocol) -> Stage {
    feeding(
        &[frames::challenge(protocol)],
        vec![frames::hello(protocol)],
    )
}

pub(crate) fn agent_events(protocol: Protocol, deltas: usize) -> Stage {
    feeding(
        &begun(protocol),
        events(deltas, |delta| {
            frames::agent_event(protocol, delta, delta.nth)
        }),
    )
}

pub(crate) fn chat_events(protocol: Protocol, deltas: usize) -> Stage {
    feeding(
        &begun(protocol),
        events(deltas, |delta| {
            frames::chat_event(protocol, delta, delta.nth)
        }),
    )
}

pub(crate) fn foreign_events(protocol: Protocol, deltas: usize) -> Stage {
    feeding(
        &begun(protocol),
        events(deltas, |delta| {
            frames::foreign_event(protocol, delta, delta.nth)
        }),
    )
}

pub(crate) fn end(protocol: Protocol) -> Stage {
    let mut before = begun(protocol).to_vec();
    before.extend(answer(protocol, 100));
    feeding(&before, vec![frames::end(protocol, 100)])
}

pub(crate) fn whole(protocol: Protocol, deltas: usize) -> Stage {
    feeding(&[], all(protocol, deltas))
}

pub(crate) fn all(protocol: Protocol, deltas: usize) -> Vec<String> {
    let mut all = begun(protocol).to_vec();
    all.extend(answer(protocol, deltas));
    all.push(frames::end(protocol, deltas));
    all
}

fn begun(protocol: Protocol) -> [String; 3] {
    [
        frames::challenge(protocol),
        frames::hello(protocol),
        frames::accepted(protocol),
    ]
}

fn events(deltas: usize, write: impl Fn(&Delta) -> String) -> Vec<String> {
    frames::answer(deltas).iter().map(write).collect()
}

/// Each delta is sent twice, as both gateways do.
fn answer(protocol: Protocol, deltas: usize) -> Vec<String> {
    let both = |delta: &Delta| {
        [
            frames::agent_event(protocol, delta, 2 * delta.nth),
            frames::chat_event(protocol, delta, 2 * delta.nth + 1),
        ]
    };
    frames::answer(deltas).iter().flat_map(both).collect()
}

/// Feeds `frames` to an exchange that has already received `before`.
fn feeding(before: &[String], frames: Vec<String>) -> Stage {
    let config = keys::config();
    let frames: &'static [String] = Vec::leak(frames);
    let mut hub = hub(config);
    feed(&mut hub, before, config, |_| {});
    Box::new(move || -> Ready {
        let mut hub = hub.clone();
        Box::new(move || {
            let mut written = 0;
            feed(&mut hub, black_box(frames), config, |out| {
                written += out.body.len() + out.frames.iter().map(String::len).sum::<usize>();
            });
            written
        })
    })
}

/// Handles each frame as the Worker does, and passes each output to `take`.
pub(crate) fn feed(
    hub: &mut Hub,
    frames: &[String],
    config: &Config,
    mut take: impl FnMut(&Output),
) {
    let mut out = Output::default();
    for text in frames {
        hub.handle(Input::Frame { text, skipped: 0 }, &config.gateway, NOW_MS);
        while let Some((_, _, output)) = hub.next_output() {
            take(output);
            output.clear();
        }
        let orders = hub.take_orders();
        black_box(&orders.sign);
        out.frames = orders.frames;
        if orders.sign.is_some() {
            hub.handle(Input::Signed(SIGNATURE), &config.gateway, NOW_MS);
            out.frames = hub.take_orders().frames;
        }
        take(&out);
        out.clear();
        black_box(hub.take_filter_change());
        black_box(hub.wake_at_ms());
    }
}

/// Returns a hub with an exchange for a streamed answer, before any frame was received.
pub(crate) fn hub(config: &Config) -> Hub {
    let accepted = keys::accepted(config);
    let streams = config.clients.iter().next().map(|client| client.streams);
    let writer = ChatWriter::new(
        accepted.delivery,
        "chatcmpl-00ff".to_owned(),
        accepted.model,
        NOW_MS / 1000,
    );
    let exchange = Exchange::new(
        accepted.turn,
        Writer::Chat(writer),
        keys::meta(),
        streams.unwrap_or_default(),
        NOW_MS,
    );
    let mut hub = Hub::new(config.link_idle_ms);
    hub.begin(exchange, None, NOW_MS);
    black_box(hub.take_orders());
    hub
}
