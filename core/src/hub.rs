//! The hub: one connection to the gateway, and the exchanges that share it.
//!
//! ```text
//!            an exchange needs it                 hello-ok
//!   Closed ──────────────────────▶ Opening ─────────────────────▶ Open
//!     ▲                              │                              │
//!     │      refused, too late       │    lost, silent, or idle     │
//!     └──────────────────────────────┴──────────────────────────────┘
//! ```
//!
//! The caller owns the socket, the clients and the clock. It gives every event to [`Hub::handle`],
//! carries out [`Hub::take_orders`] and the output of each exchange ([`Hub::next_output`]), and
//! calls again with [`Input::Tick`] no later than [`Hub::wake_at_ms`].
//!
//! The hub connects when an exchange asks for it, and reports to all of them how the attempt ended.
//! Each exchange decides by itself how long it waits. A response goes to the exchange that
//! made the request, an event to those that receive its run: there may be several of one run, if a
//! client repeated its request. The connection is kept for a while after the last exchange.
//!
//! On protocol 4 a connection receives only the events of sessions that it has subscribed to. The
//! subscription ends with the last exchange of its session.

mod connection;
mod overview;
mod question;
mod queue;
pub(crate) mod speech;
mod speeches;

use std::rc::Rc;

use crate::agent::AgentList;
use crate::config::Gateway;
use crate::exchange::{self, Exchange, HANDSHAKE_MS, Outcome};
use crate::failure::{Deadline, Failure};
use crate::gateway::agent_list::ListRequest;
use crate::gateway::client_identity::ClientIdentity;
use crate::gateway::endpoint;
use crate::gateway::frame::SubscribeParams;
use crate::gateway::link::{self, Incoming, Link, MAX_FRAME_BYTES};
use crate::gateway::peek::{AGENT, CHAT};
use crate::gateway::prefix::is_same;
use crate::gateway::run::io;
use crate::repeat::Receiver;

use speech::Speech;
pub use speech::{Audio, POLL_MS, SpeechId};

/// Time between two frames of any kind: a gateway sends a tick every 30 s, so two are missing.
pub(crate) const SILENCE_MS: u64 = 75_000;

/// Most exchanges that may await the gateway's first answer on a connection: each has sent up to
/// three frames, and the gateway refuses a frame if 256 wait. Source: OpenClaw 2026.9.6,
/// `BoundedSerialQueue`, read and measured with 188 runs.
const MAX_ASKING: usize = 32;

/// Exchanges that may wait in the queue. Each holds its message, and its client's connection. A key
/// gets no more than it leaves free, so that it cannot close the queue to others.
pub(crate) const MAX_WAITING: usize = 128;

/// One connection, and the exchanges that share it.
#[derive(Debug, Clone)]
pub struct Hub {
    link: Link,
    state: State,
    /// Time for which the connection is kept after the last exchange.
    idle_ms: u64,
    /// The time since which nothing uses the connection, if nothing does.
    idle_since_ms: u64,
    entries: Vec<Entry>,
    /// Most runs that the gateway gets at a time, if there is a limit.
    max_runs: Option<usize>,
    last_id: u32,
    /// The question for the gateway's agents, while there is one.
    question: Option<Question>,
    answer: Option<Result<AgentList, Failure>>,
    speeches: Vec<Speech>,
    orders: Orders,
    /// Other events are read than before.
    has_other_filters: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Opening { since_ms: u64 },
    Open { last_frame_ms: u64 },
}

#[derive(Debug, Clone)]
struct Entry {
    id: ExchangeId,
    exchange: Exchange,
    /// Its share in the run, if other exchanges can have one.
    receiver: Option<Rc<Receiver>>,
    output: exchange::Output,
    has_output: bool,
    began_ms: u64,
    /// The time at which the exchange learned of the present connection.
    announced_ms: Option<u64>,
    /// The gateway has answered it on this connection.
    is_answered: bool,
    wake_at_ms: u64,
    filter: String,
    needs_chat: bool,
}

/// A question for the gateway's agents.
#[derive(Debug, Clone)]
struct Question {
    until_ms: u64,
    /// The request, once it was sent.
    request: Option<ListRequest>,
}

/// The number of an exchange within its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExchangeId(u32);

/// An event that the caller reports.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text frame from the gateway, and the number of events that were skipped before it.
    Frame { text: &'a str, skipped: u32 },
    /// The gateway's socket is closed.
    Closed { code: u16 },
    /// The device's signature, for the present connection.
    Signed(&'a str),
    /// There is no socket: the connection could not be made, for this reason.
    Failed(Failure),
    /// The client of this exchange is gone.
    HungUp(ExchangeId),
    /// An administrator stops the run with this id.
    Stopped(&'a str),
    /// The client of this exchange cancels its response.
    Cancelled(ExchangeId),
    /// The client of this exchange has not read the bytes that were sent, and the buffer for it is
    /// full.
    Overrun(ExchangeId),
    /// An event of this exchange's request at the gateway's HTTP endpoint.
    Endpoint(ExchangeId, endpoint::Event<'a>),
    /// Time passed.
    Tick,
}

/// The actions that concern the connection, in this order.
#[derive(Debug, Default, Clone)]
pub struct Orders {
    /// Text frames for the gateway.
    pub frames: Vec<String>,
    /// The gateway's socket is not used any more: close it if it is still open.
    pub disconnect: bool,
    /// Make a connection. Events of an earlier one are not reported.
    pub connect: bool,
    /// Let the gateway's device sign this text, and report [`Input::Signed`].
    pub sign: Option<String>,
}

impl Hub {
    /// Makes a hub without a connection. It keeps one for `idle_ms` after its last exchange.
    pub fn new(idle_ms: u64) -> Self {
        Self {
            // Tools' events come for all runs, because any may ask for them.
            link: Link::new(ClientIdentity::WATCHING_BACKEND),
            state: State::Closed,
            idle_ms,
            idle_since_ms: 0,
            entries: Vec::new(),
            max_runs: None,
            last_id: 0,
            question: None,
            answer: None,
            speeches: Vec::new(),
            orders: Orders::default(),
            has_other_filters: false,
        }
    }

    /// Begins an exchange. `receiver` is its share in its run, if other exchanges can have one.
    pub fn begin(
        &mut self,
        exchange: Exchange,
        receiver: Option<Receiver>,
        now_ms: u64,
    ) -> ExchangeId {
        self.last_id = self.last_id.wrapping_add(1);
        let id = ExchangeId(self.last_id);
        let is_open = self.needs_connection(now_ms);
        self.entries.push(Entry {
            id,
            filter: exchange.event_filter().to_owned(),
            needs_chat: false,
            exchange,
            receiver: receiver.map(Rc::new),
            output: exchange::Output::default(),
            has_output: false,
            began_ms: now_ms,
            announced_ms: None,
            is_answered: false,
            wake_at_ms: u64::MAX,
        });
        self.has_other_filters = true;
        let index = self.entries.len().saturating_sub(1);
        self.enqueue(index, now_ms);
        self.schedule(index);
        if is_open {
            self.announce_waiting(now_ms);
        }
        id
    }

    /// Handles an event. `now_ms` never goes back.
    pub fn handle(&mut self, input: Input<'_>, gateway: &Gateway, now_ms: u64) {
        match input {
            Input::Frame { .. } | Input::Closed { .. } | Input::Signed(_) | Input::Failed(_)
                if matches!(self.state, State::Closed) => {}
            Input::Signed(signature) => {
                let frames = &mut self.orders.frames;
                let credential = &gateway.credential;
                if let Err(failure) = self.link.connect(signature, credential, frames) {
                    self.fail(&failure, now_ms);
                }
            }
            Input::Frame { text, skipped } => self.receive(text, skipped, gateway, now_ms),
            Input::Closed { code } => {
                let failure = self.link.closed(code);
                self.lose(&failure, now_ms, || exchange::Input::Closed {
                    code,
                    failure: failure.clone(),
                });
            }
            Input::Failed(failure) => self.fail(&failure, now_ms),
            Input::HungUp(id) => self.give_to(id, exchange::Input::HungUp, now_ms),
            Input::Stopped(run) => self.stop(run, now_ms),
            Input::Cancelled(id) => self.give_to(id, exchange::Input::Cancelled, now_ms),
            Input::Overrun(id) => self.give_to(id, exchange::Input::Overrun, now_ms),
            Input::Endpoint(id, event) => {
                self.give_to(id, exchange::Input::Endpoint(event), now_ms);
            }
            Input::Tick => self.tick(now_ms),
        }
    }

    /// Returns the time at which [`Input::Tick`] is due next, at the latest.
    pub fn wake_at_ms(&self) -> Option<u64> {
        let link_ms = match self.state {
            State::Closed => u64::MAX,
            State::Opening { since_ms } => since_ms.saturating_add(HANDSHAKE_MS),
            State::Open { last_frame_ms } => {
                let silent_ms = self.silent_at_ms(last_frame_ms);
                self.idle_ends_ms().unwrap_or(silent_ms).min(silent_ms)
            }
        };
        let question = self.question.iter().map(|question| question.until_ms);
        let wakes = self.entries.iter().map(|entry| entry.wake_at_ms);
        let wakes = wakes.chain(question);
        Some(wakes.fold(link_ms, u64::min)).filter(|wake_at_ms| *wake_at_ms < u64::MAX)
    }

    /// Takes the actions that concern the connection.
    pub fn take_orders(&mut self) -> Orders {
        std::mem::take(&mut self.orders)
    }

    /// Returns the next exchange that has an output. The caller clears the output, and removes an
    /// exchange whose output has ended.
    pub fn next_output(&mut self) -> Option<(ExchangeId, &Exchange, &mut exchange::Output)> {
        let entry = self.entries.iter_mut().find(|entry| entry.has_output)?;
        entry.has_output = false;
        Some((entry.id, &entry.exchange, &mut entry.output))
    }

    /// Ends an exchange at this time, because its client's key is valid until then.
    pub fn expire(&mut self, id: ExchangeId, expires_ms: Option<u64>) {
        if let Some(index) = self.entries.iter().position(|entry| entry.id == id) {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.exchange.expire_at(expires_ms);
            }
            self.schedule(index);
        }
    }

    pub fn exchange(&self, id: ExchangeId) -> Option<&Exchange> {
        let entry = self.entries.iter().find(|entry| entry.id == id)?;
        Some(&entry.exchange)
    }

    /// Removes an exchange that has ended, and returns it with its share in its run.
    pub fn remove(
        &mut self,
        id: ExchangeId,
        now_ms: u64,
    ) -> Option<(Exchange, Option<Rc<Receiver>>)> {
        let index = self.entries.iter().position(|entry| entry.id == id)?;
        let Entry {
            exchange, receiver, ..
        } = self.entries.swap_remove(index);
        self.has_other_filters = true;
        self.unsubscribe(&exchange);
        self.unshare(exchange.run_id());
        self.dequeue(now_ms);
        self.announce_waiting(now_ms);
        self.release(now_ms);
        Some((exchange, receiver))
    }

    /// Keeps an exchange that has ended, to follow its run ([`Exchange::goes_on`]).
    pub fn follow(&mut self, id: ExchangeId) {
        let Some(index) = self.entries.iter().position(|entry| entry.id == id) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(index) {
            entry.exchange.follow();
        }
        self.schedule(index);
    }

    /// Returns true if other events are read than at the last call.
    pub fn take_filter_change(&mut self) -> bool {
        std::mem::take(&mut self.has_other_filters)
    }

    /// Returns the beginnings of the run ids, closing quotes included, whose events are read, and
    /// whether `chat` is among them. Other events can be skipped.
    pub fn filters(&self) -> impl Iterator<Item = (&str, bool)> {
        self.entries
            .iter()
            .map(|entry| (entry.filter.as_str(), entry.needs_chat))
    }

    fn receive(&mut self, text: &str, skipped: u32, gateway: &Gateway, now_ms: u64) {
        if let State::Open { last_frame_ms } = &mut self.state {
            *last_frame_ms = now_ms;
        }
        self.link.skip(skipped);
        self.link.set_now(now_ms);
        if text.len() > MAX_FRAME_BYTES && self.link.is_ready() {
            return self.receive_oversize(text, now_ms);
        }
        let credential = &gateway.credential;
        let incoming = match self.link.receive(text, credential, &mut self.orders.frames) {
            Ok(incoming) => incoming,
            Err(failure) => return self.fail(&failure, now_ms),
        };
        if self.link.take_gap() {
            self.give_all(now_ms, || exchange::Input::Gap);
        }
        match incoming {
            Incoming::Ignored => {}
            Incoming::Challenged(payload) => self.orders.sign = Some(payload),
            Incoming::Ready(_) => {
                self.state = State::Open {
                    last_frame_ms: now_ms,
                };
                self.announce_waiting(now_ms);
                self.send_question(now_ms);
                self.send_speeches();
                self.release(now_ms);
            }
            Incoming::Response { id, result } => {
                let asked = self
                    .entries
                    .iter()
                    .position(|entry| entry.exchange.awaits(id));
                if let Some(index) = asked {
                    if let Some(entry) = self.entries.get_mut(index) {
                        entry.is_answered = true;
                    }
                    self.pass(index, io::Incoming::Response { id, result }, now_ms);
                    self.announce_waiting(now_ms);
                } else if let Some(Question {
                    request: Some(request),
                    ..
                }) = &mut self.question
                    && request.awaits(id)
                {
                    let frames = &mut self.orders.frames;
                    let answer = request.receive(result, &mut self.link, frames);
                    self.answer(answer.transpose(), now_ms);
                } else {
                    self.receive_speech(id, result, now_ms);
                }
            }
            Incoming::Agent(event) => {
                for index in 0..self.entries.len() {
                    if self
                        .entries
                        .get(index)
                        .is_some_and(|entry| entry.exchange.reads(&event.run_id))
                    {
                        self.pass(index, io::Incoming::Agent(&event), now_ms);
                    }
                }
            }
            Incoming::Chat(payload) => {
                for index in 0..self.entries.len() {
                    if self
                        .entries
                        .get(index)
                        .is_some_and(|entry| entry.needs_chat && payload.may_be_of(&entry.filter))
                    {
                        self.pass(index, io::Incoming::Chat(payload), now_ms);
                    }
                }
            }
        }
    }

    /// Handles a frame that is larger than the protocol allows. It ends the exchanges that it is
    /// for, or all if its beginning does not name any run or request.
    fn receive_oversize(&mut self, text: &str, now_ms: u64) {
        let event = [AGENT, CHAT]
            .iter()
            .find_map(|beginning| text.strip_prefix(beginning));
        if event.is_some() {
            self.link.skip(1);
        }
        let failure = Failure::GatewayProtocolError(link::OVERSIZE);
        let response = link::response_id(text);
        if event.is_none() && response.is_none() {
            return self.fail(&failure, now_ms);
        }
        if response.is_some() {
            self.fail_speeches(response, &failure);
        }
        for entry in &mut self.entries {
            if response.is_some_and(|id| entry.exchange.pass_over(id)) {
                return;
            }
        }
        for index in 0..self.entries.len() {
            let is_for = |entry: &Entry| match (event, response) {
                // Without a filter it may be of any run.
                (Some(rest), _) => !entry.filter.is_empty() && rest.starts_with(&entry.filter),
                (None, id) => id.is_some_and(|id| entry.exchange.awaits(id)),
            };
            if self.entries.get(index).is_some_and(is_for) {
                self.give(index, exchange::Input::Failed(failure.clone()), now_ms);
            }
        }
    }

    fn tick(&mut self, now_ms: u64) {
        match self.state {
            State::Opening { since_ms } if now_ms >= since_ms.saturating_add(HANDSHAKE_MS) => {
                self.fail(&Failure::TimedOut(Deadline::Handshake), now_ms);
            }
            State::Open { last_frame_ms } if now_ms >= self.silent_at_ms(last_frame_ms) => {
                self.fall_silent(now_ms);
            }
            _ => self.close_if_idle(now_ms),
        }
        let question = self.question.as_ref();
        if question.is_some_and(|question| now_ms >= question.until_ms) {
            let failure = Failure::TimedOut(Deadline::Handshake);
            self.answer(Some(Err(failure)), now_ms);
        }
        for index in 0..self.entries.len() {
            let entry = self.entries.get(index);
            if entry.is_some_and(|entry| now_ms >= entry.wake_at_ms) {
                self.give(index, exchange::Input::Tick, now_ms);
            }
        }
    }

    /// Ends the subscription of an exchange that has ended, unless another one shares it.
    fn unsubscribe(&mut self, exchange: &Exchange) {
        let Some((agent, session)) = exchange.subscribed_session() else {
            return;
        };
        let is_raw = session.is_raw(agent);
        let is_shared = self.entries.iter().any(|entry| {
            let other = entry.exchange.subscribed_session();
            other.is_some_and(|(agent, other)| other == session || is_raw && other.is_raw(agent))
        });
        if !is_shared && matches!(self.state, State::Open { .. }) {
            let params = SubscribeParams {
                key: session.as_str(),
                agent_id: agent.as_str(),
            };
            // A failure to write it leaves a subscription, which ends with the connection.
            let frames = &mut self.orders.frames;
            let _ = self
                .link
                .request("sessions.messages.unsubscribe", &params, frames);
        }
    }

    /// Reports to exchanges that the connection is ready: to no more at a time than the gateway can
    /// answer.
    fn announce_waiting(&mut self, now_ms: u64) {
        let Some(protocol) = self.link.protocol() else {
            return;
        };
        for index in 0..self.entries.len() {
            let is_asking = |entry: &&Entry| entry.announced_ms.is_some() && !entry.is_answered;
            if self.entries.iter().filter(is_asking).count() >= MAX_ASKING {
                return;
            }
            if let Some(entry) = self.entries.get_mut(index)
                && entry.announced_ms.is_none()
                && !entry.exchange.is_queued()
            {
                entry.announced_ms = Some(now_ms);
                self.pass(index, io::Incoming::Ready(protocol), now_ms);
            }
        }
    }

    fn pass(&mut self, index: usize, incoming: io::Incoming<'_>, now_ms: u64) {
        self.give(index, exchange::Input::Incoming(incoming), now_ms);
    }

    fn give_all<'a>(&mut self, now_ms: u64, input: impl Fn() -> exchange::Input<'a>) {
        for index in 0..self.entries.len() {
            self.give(index, input(), now_ms);
        }
    }

    fn give_to(&mut self, id: ExchangeId, input: exchange::Input<'_>, now_ms: u64) {
        if let Some(index) = self.entries.iter().position(|entry| entry.id == id) {
            self.give(index, input, now_ms);
        }
    }

    fn give(&mut self, index: usize, input: exchange::Input<'_>, now_ms: u64) {
        let is_session_busy = self.is_session_busy(index);
        let is_shared = self.is_shared(index);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        entry.exchange.note_session_busy(is_session_busy);
        let Entry {
            exchange, output, ..
        } = entry;
        if let Some(receiver) = &entry.receiver {
            exchange.share(is_shared);
            if !receiver.may_name_session() {
                exchange.withhold_session();
            }
        }
        let has_run = !exchange.lingers();
        exchange.handle(input, &mut self.link, now_ms, output);
        let frees_place = has_run && exchange.lingers();
        if let (Some(receiver), Some(_)) = (&entry.receiver, &output.head) {
            receiver.named_session();
        }
        self.orders.frames.append(&mut output.frames);
        let connects = std::mem::take(&mut output.connect);
        entry.has_output = true;
        // It awaits nothing over the connection.
        entry.is_answered |= exchange.is_at_endpoint();
        let needs_chat = exchange.needs_chat();
        if entry.needs_chat != needs_chat || !is_same(&entry.filter, exchange.event_filter()) {
            entry.needs_chat = needs_chat;
            exchange.event_filter().clone_into(&mut entry.filter);
            self.has_other_filters = true;
        }
        if connects && matches!(self.state, State::Closed) {
            self.connect(now_ms);
        }
        self.schedule(index);
        if frees_place {
            self.dequeue(now_ms);
        }
    }

    /// Returns true if another exchange receives the run, too. One that has ended in the same turn
    /// does not, or else nobody would stop a run whose exchanges all end at once.
    fn is_shared(&self, index: usize) -> bool {
        let Some(Entry {
            id,
            exchange,
            receiver: Some(receiver),
            ..
        }) = self.entries.get(index)
        else {
            return false;
        };
        let mut others = self.entries.iter().filter(|other| other.id != *id);
        receiver.is_shared()
            && others.any(|other| {
                other.exchange.run_id() == exchange.run_id()
                    && matches!(other.exchange.outcome(), Outcome::Pending)
            })
    }

    /// Shows the exchanges of a run that one of them was removed: the last one may stop it.
    fn unshare(&mut self, run: &str) {
        for index in 0..self.entries.len() {
            let is_shared = self.is_shared(index);
            if let Some(entry) = self.entries.get_mut(index)
                && entry.receiver.is_some()
                && entry.exchange.run_id() == run
            {
                entry.exchange.share(is_shared);
                self.schedule(index);
            }
        }
    }

    /// Returns true if an exchange awaits the rows of a session that another run uses.
    fn is_session_busy(&self, index: usize) -> bool {
        let Some(Entry { exchange, .. }) = self.entries.get(index) else {
            return false;
        };
        let Some(session) = exchange.awaited_session() else {
            return false;
        };
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.exchange.is_other(exchange, &session))
    }

    fn schedule(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.wake_at_ms = entry.exchange.wake_at_ms().unwrap_or(u64::MAX);
        }
    }
}
