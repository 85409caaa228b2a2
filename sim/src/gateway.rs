//! The state that the connections of one gateway share: peers, runs, pairing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::clock;
use crate::fault::{Fault, Faults};
use crate::frames::{self, Close, Outgoing, Protocol, close_code};
use crate::hello::Hello;
use crate::history::Histories;
use crate::journal::Journal;
use crate::options::Options;
use crate::pairing::Pairing;
use crate::run::record::RunRecord;
use crate::wire::Wire;

/// Finished runs that are remembered, for replays and `agent.wait`. Source: measured on both
/// versions (beside 5 minutes).
const MAX_REMEMBERED_RUNS: usize = 1000;

/// Idle sessions that are kept; beyond this they are forgotten, because a benchmark takes a new
/// session for every run.
const MAX_IDLE_SESSIONS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) options: Options,
    pub(crate) hello: Hello,
    ready_at: Option<Instant>,
    /// Counts how often the runs that wait were resumed.
    pub(crate) resumes: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) journal: Journal,
    pub(crate) histories: Histories,
    pub(crate) faults: Faults,
    pub(crate) pairing: Pairing,
    pub(crate) runs: HashMap<String, RunRecord>,
    run_order: VecDeque<String>,
    turns: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// The keys of the requests that were lost on their way.
    pub(crate) lost: HashSet<String>,
    peers: HashMap<u64, Peer>,
    /// The completions over HTTP whose responses have not ended.
    streams: HashMap<u64, UnboundedSender<Outgoing>>,
    next_connection: u64,
    /// Protocol 3 counts the events of the whole gateway.
    seq: u64,
}

/// A connection that is through its handshake.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) outbox: UnboundedSender<Outgoing>,
    /// It holds `operator.read`, or a scope that implies it.
    pub(crate) reads: bool,
    /// It advertised `session-scoped-events`.
    pub(crate) scoped: bool,
    /// It advertised `tool-events`.
    pub(crate) tool_events: bool,
    pub(crate) subscriptions: HashSet<String>,
    /// Protocol 4 counts the events of each client.
    pub(crate) seq: u64,
}

/// The receivers of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Audience<'a> {
    /// Clients that may see this session; on protocol 3 all.
    Session(&'a str),
    /// Clients that subscribed to this session; none on protocol 3.
    Subscribers(&'a str),
    /// Clients that may read; on protocol 3 all.
    Readers,
    Everybody,
    /// One connection; protocol 3 leaves such events uncounted.
    One(u64),
}

impl Gateway {
    pub(crate) fn new(options: Options) -> Result<Self, String> {
        let hello = Hello::new(&options)?;
        let mut faults = Faults::default();
        faults.set(options.fault, None);
        Ok(Self {
            hello,
            ready_at: options
                .startup_ms
                .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms))),
            resumes: watch::Sender::new(0),
            state: Mutex::new(State {
                journal: Journal::default(),
                histories: Histories::default(),
                faults,
                pairing: Pairing::default(),
                runs: HashMap::new(),
                run_order: VecDeque::new(),
                turns: HashMap::new(),
                lost: HashSet::new(),
                peers: HashMap::new(),
                streams: HashMap::new(),
                next_connection: 1,
                seq: 0,
            }),
            options,
        })
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.options.protocol
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // After a panic the state is still plain data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of the upgrade that comes in now.
    pub(crate) fn next_fault(&self) -> Option<Fault> {
        if self
            .ready_at
            .is_some_and(|ready_at| Instant::now() < ready_at)
        {
            return Some(Fault::Startup);
        }
        self.state().faults.take()
    }

    /// The number of a connection that was just opened.
    pub(crate) fn open(&self) -> u64 {
        let mut state = self.state();
        let connection = state.next_connection;
        state.next_connection = connection.saturating_add(1);
        state.journal.opened();
        connection
    }

    pub(crate) fn join(&self, connection: u64, peer: Peer) {
        self.state().peers.insert(connection, peer);
    }

    /// Removes a closed connection; its runs continue.
    pub(crate) fn leave(&self, connection: u64, by: &'static str, code: Option<u16>, wire: &Wire) {
        let mut state = self.state();
        if wire.has_struck() {
            state.journal.wire_fault();
        }
        state.peers.remove(&connection);
        state.journal.closed(connection, by, code);
    }

    /// Returns the number of a completion over HTTP, whose response comes from `outbox`.
    pub(crate) fn open_stream(&self, outbox: UnboundedSender<Outgoing>) -> u64 {
        let mut state = self.state();
        let connection = state.next_connection;
        state.next_connection = connection.saturating_add(1);
        state.streams.insert(connection, outbox);
        connection
    }

    pub(crate) fn close_stream(&self, connection: u64) {
        self.state().streams.remove(&connection);
    }

    pub(crate) fn subscribe(&self, connection: u64, session_key: &str) {
        if let Some(peer) = self.state().peers.get_mut(&connection) {
            peer.subscriptions.insert(session_key.to_owned());
        }
    }

    pub(crate) fn unsubscribe(&self, connection: u64, session_key: &str) {
        if let Some(peer) = self.state().peers.get_mut(&connection) {
            peer.subscriptions.remove(session_key);
        }
    }

    pub(crate) fn wants_tool_events(&self, connection: u64) -> bool {
        self.state()
            .peers
            .get(&connection)
            .is_some_and(|peer| peer.tool_events)
    }

    /// Sends to one connection, if it is still there.
    pub(crate) fn send(&self, connection: u64, outgoing: Outgoing) {
        let state = self.state();
        let of_peer = state.peers.get(&connection).map(|peer| &peer.outbox);
        if let Some(outbox) = of_peer.or_else(|| state.streams.get(&connection)) {
            // A closed outbox is a connection about to leave.
            drop(outbox.send(outgoing));
        }
    }

    /// Sends an event to all of `audience`.
    pub(crate) fn publish(&self, event: &str, payload: &impl Serialize, audience: Audience<'_>) {
        let Some(payload) = frames::raw(payload) else {
            return;
        };
        let protocol = self.protocol();
        let mut state = self.state();
        let state = &mut *state;
        let counted = !(protocol == Protocol::V3 && matches!(audience, Audience::One(_)));
        if counted {
            state.seq = state.seq.saturating_add(1);
        }
        for (connection, peer) in &mut state.peers {
            if !peer.is_among(audience, *connection, protocol) {
                continue;
            }
            peer.seq = peer.seq.saturating_add(1);
            let seq = match protocol {
                Protocol::V3 => counted.then_some(state.seq),
                Protocol::V4 => Some(peer.seq),
            };
            drop(
                peer.outbox
                    .send(Outgoing::Text(frames::event(event, &payload, seq))),
            );
        }
    }

    /// The lock that serialises the runs of a session.
    pub(crate) fn turn(&self, session_key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.state();
        if state.turns.len() >= MAX_IDLE_SESSIONS {
            state.turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(state.turns.entry(session_key.to_owned()).or_default())
    }

    /// Ends and forgets all runs without an event; pairing and connections stay.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        for run in state.runs.values().filter_map(|run| run.task.as_ref()) {
            run.abort();
        }
        state.runs.clear();
        state.run_order.clear();
        state.turns.clear();
        state.lost.clear();
        state.streams.clear();
        state.journal.reset();
        state.histories.clear();
        state.faults.set(None, None);
    }

    /// Ends every connection, without a close frame if there is no code; the runs continue.
    pub(crate) fn drop_connections(&self, code: Option<u16>) {
        let state = self.state();
        let peers = state.peers.values().map(|peer| &peer.outbox);
        for outbox in peers.chain(state.streams.values()) {
            drop(outbox.send(match code {
                Some(code) => Outgoing::Close(Close::new(code, "")),
                None => Outgoing::Drop,
            }));
        }
    }

    /// Acts like a crash and a restart: every run ends without an event and is forgotten, every
    /// connection is cut. The journal stays.
    pub(crate) fn crash(&self) {
        {
            let mut state = self.state();
            for run in state.runs.values().filter_map(|run| run.task.as_ref()) {
                run.abort();
            }
            state.runs.clear();
            state.run_order.clear();
            state.turns.clear();
        }
        self.hello.boot();
        self.drop_connections(None);
    }

    /// Sends `shutdown` to all clients and closes, as a gateway that is asked to stop.
    pub(crate) fn shut_down(&self) {
        let payload = match self.protocol() {
            Protocol::V3 => json!({ "reason": "gateway stopping", "restartExpectedMs": null }),
            Protocol::V4 => json!({ "reason": "gateway stopping" }),
        };
        self.publish("shutdown", &payload, Audience::Everybody);
        for peer in self.state().peers.values() {
            drop(peer.outbox.send(Outgoing::Close(Close::new(
                close_code::SERVICE_RESTART,
                "service restart",
            ))));
        }
    }
}

impl State {
    pub(crate) fn remember(&mut self, run_id: &str, run: RunRecord) {
        self.runs.insert(run_id.to_owned(), run);
        self.run_order.push_back(run_id.to_owned());
        while self.run_order.len() > MAX_REMEMBERED_RUNS {
            let oldest = self.run_order.pop_front();
            // A run that is still going must stay reachable for an abort.
            if let Some(oldest) =
                oldest.filter(|id| self.runs.get(id).is_none_or(RunRecord::has_ended))
            {
                self.runs.remove(&oldest);
            }
        }
    }
}

impl Peer {
    fn is_among(&self, audience: Audience<'_>, connection: u64, protocol: Protocol) -> bool {
        match (audience, protocol) {
            (Audience::One(one), _) => one == connection,
            (Audience::Everybody, _) | (Audience::Session(_) | Audience::Readers, Protocol::V3) => {
                true
            }
            (Audience::Subscribers(_), Protocol::V3) => false,
            (Audience::Readers, Protocol::V4) => self.reads,
            (Audience::Session(key), Protocol::V4) => {
                self.reads && (!self.scoped || self.subscriptions.contains(key))
            }
            (Audience::Subscribers(key), Protocol::V4) => {
                self.reads && self.subscriptions.contains(key)
            }
        }
    }
}

/// Sends `tick` for as long as the gateway lives.
pub(crate) async fn tick(gateway: Arc<Gateway>) {
    let mut interval = tokio::time::interval(Duration::from_millis(gateway.options.tick_ms));
    interval.tick().await;
    loop {
        interval.tick().await;
        gateway.publish(
            "tick",
            &json!({ "ts": clock::now_ms() }),
            Audience::Everybody,
        );
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// A peer that reads, and subscribed to the session `a`.
    fn peer() -> Peer {
        Peer {
            outbox: mpsc::unbounded_channel().0,
            reads: true,
            scoped: false,
            tool_events: false,
            subscriptions: HashSet::from(["a".to_owned()]),
            seq: 0,
        }
    }

    #[test]
    fn protocol_4_shows_a_scoped_client_only_what_it_subscribed_to() {
        let scoped = Peer {
            scoped: true,
            ..peer()
        };
        let silent = Peer {
            reads: false,
            ..peer()
        };
        let sees = |peer: &Peer, audience| peer.is_among(audience, 1, Protocol::V4);
        assert!(sees(&scoped, Audience::Session("a")));
        assert!(!sees(&scoped, Audience::Session("b")));
        assert!(sees(&peer(), Audience::Session("b")));
        assert!(!sees(&silent, Audience::Session("a")));
        assert!(sees(&scoped, Audience::Readers));
    }

    #[test]
    fn protocol_3_shows_everything_to_everybody() {
        let blind = Peer {
            reads: false,
            scoped: true,
            ..peer()
        };
        assert!(blind.is_among(Audience::Session("b"), 1, Protocol::V3));
        assert!(blind.is_among(Audience::Readers, 1, Protocol::V3));
    }
}
