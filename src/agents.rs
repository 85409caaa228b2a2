//! The gateway's agents, as this isolate last heard of them.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use clawfront_core::agent::Roster;
use clawfront_core::config::Gateway;
use clawfront_core::error::{Deadline, Failure};
use clawfront_core::gateway::diagnosis::Diagnosis;
use clawfront_core::gateway::roster::Question;
use clawfront_core::openai::models::Source;
use clawfront_core::respond::Readiness;
use futures_util::future::{Either, select};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CloseEvent, EventTarget, MessageEvent};
use worker::Delay;
use worker::js_sys::futures::JsFuture;

use crate::lifeline::Lifeline;
use crate::listener::{Deferred, Listener};
use crate::socket::Socket;
use crate::{now_ms, upgrade};

/// How old a list may be, in milliseconds: an agent that is made or removed shows after a minute.
const FRESH_MS: u64 = 60_000;

/// How long what was heard answers for the gateway's state, in milliseconds, to who may have it asked again.
const READY_MS: u64 = 5000;

/// The same, to everybody else.
const KNOWN_MS: u64 = 60_000;

/// How long a gateway that did not tell is not asked again, in milliseconds: chat UIs ask for models at every turn, and each would wait.
const QUIET_MS: u64 = 5000;

/// For the connection, the handshake and the answer together, in milliseconds: whoever opens a chat UI waits for it.
const LIMIT_MS: u64 = 5000;

/// Beyond that, until whoever asks is taken to have ended without a word, in milliseconds.
const GRACE_MS: u64 = 1000;

/// How often a request looks whether another one has heard, in milliseconds. It cannot be woken: a request's promises are its own.
const LOOK_MS: u64 = 50;

/// What the gateway said, and whether somebody is asking.
#[derive(Default)]
struct Heard {
    roster: Option<Rc<Roster>>,
    /// Until then the roster is new.
    fresh_until_ms: u64,
    /// Until then a request is asking; a mark in time, because it may end without a word.
    asking_until_ms: u64,
    /// Until then the gateway is left alone.
    quiet_until_ms: u64,
    /// When it was asked last, and what went wrong then.
    said: Option<(u64, Option<Failure>)>,
}

thread_local! {
    /// Source: the gateway's `agents.list`. A list that was told is used for a minute; when the gateway does not answer, it is used
    /// beyond that, and said to be old. One request asks at a time, so a gateway has one connection from here for this at most.
    static HEARD: RefCell<Heard> = RefCell::new(Heard::default());
}

/// What a request does about the gateway's agents.
enum Step {
    Use(Option<Rc<Roster>>, Source),
    Look,
    Ask,
}

/// The gateway's agents, as far as they are known, what that knowledge is worth, and what went wrong in getting a newer one.
pub(crate) async fn roster(gateway: &Gateway) -> (Option<Rc<Roster>>, Source, Option<Failure>) {
    loop {
        match HEARD.with_borrow_mut(|heard| heard.step(now_ms())) {
            Step::Use(roster, source) => return (roster, source, None),
            Step::Look => Delay::from(Duration::from_millis(LOOK_MS)).await,
            Step::Ask => {
                let asked = ask(gateway).await;
                return HEARD.with_borrow_mut(|heard| heard.take(asked, now_ms()));
            }
        }
    }
}

/// Asks the gateway for its state, unless somebody did just now.
pub(crate) async fn check(gateway: &Gateway) {
    loop {
        match HEARD.with_borrow_mut(|heard| heard.check(now_ms())) {
            Step::Use(..) => return,
            Step::Look => Delay::from(Duration::from_millis(LOOK_MS)).await,
            Step::Ask => {
                let asked = ask(gateway).await;
                HEARD.with_borrow_mut(|heard| heard.take(asked, now_ms()));
                return;
            }
        }
    }
}

/// The gateway's state, as far as this isolate has heard of it lately.
pub(crate) fn readiness() -> Readiness {
    HEARD.with_borrow(|heard| heard.readiness(now_ms()))
}

impl Heard {
    fn check(&mut self, now_ms: u64) -> Step {
        let is_recent = |(at_ms, _): &(u64, _)| now_ms < at_ms.saturating_add(READY_MS);
        if self.said.as_ref().is_some_and(is_recent) {
            return Step::Use(None, Source::Gateway);
        }
        if now_ms < self.asking_until_ms {
            return Step::Look;
        }
        self.asking_until_ms = now_ms.saturating_add(LIMIT_MS).saturating_add(GRACE_MS);
        Step::Ask
    }

    fn readiness(&self, now_ms: u64) -> Readiness {
        let Some((at_ms, failure)) = &self.said else {
            return Readiness::Unknown;
        };
        let age_ms = now_ms.saturating_sub(*at_ms);
        match failure {
            _ if age_ms >= KNOWN_MS => Readiness::Unknown,
            Some(failure) => Readiness::NotReady {
                failure: failure.clone(),
                age_ms,
            },
            None => Readiness::Ready {
                agents: self.roster.as_ref().map_or(0, |roster| roster.agents.len()),
                age_ms,
            },
        }
    }

    fn step(&mut self, now_ms: u64) -> Step {
        let source = if now_ms < self.fresh_until_ms {
            Source::Gateway
        } else {
            Source::AllowList
        };
        if source == Source::Gateway || now_ms < self.quiet_until_ms {
            return Step::Use(self.roster.clone(), source);
        }
        if now_ms < self.asking_until_ms {
            return match &self.roster {
                // A moment too old, while a new one is on its way.
                Some(roster) => Step::Use(Some(Rc::clone(roster)), source),
                None => Step::Look,
            };
        }
        self.asking_until_ms = now_ms.saturating_add(LIMIT_MS).saturating_add(GRACE_MS);
        Step::Ask
    }

    fn take(&mut self, asked: Result<Roster, Failure>, now_ms: u64) -> (Option<Rc<Roster>>, Source, Option<Failure>) {
        self.asking_until_ms = 0;
        self.said = Some((now_ms, asked.as_ref().err().cloned()));
        match asked {
            Ok(roster) => {
                self.roster = Some(Rc::new(roster));
                self.fresh_until_ms = now_ms.saturating_add(FRESH_MS);
                (self.roster.clone(), Source::Gateway, None)
            }
            Err(failure) => {
                self.quiet_until_ms = now_ms.saturating_add(QUIET_MS);
                (self.roster.clone(), Source::AllowList, Some(failure))
            }
        }
    }
}

async fn ask(gateway: &Gateway) -> Result<Roster, Failure> {
    let answer = pin!(async { question(Socket::new(upgrade::open(gateway).await?), gateway).await });
    match select(answer, Delay::from(Duration::from_millis(LIMIT_MS))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Failure::TimedOut(Deadline::Handshake)),
    }
}

async fn question(mut socket: Socket, gateway: &Gateway) -> Result<Roster, Failure> {
    let lifeline = Lifeline::new("");
    lifeline.set_socket(socket.socket.as_ref());
    let outcome: Rc<RefCell<Option<Result<Roster, Failure>>>> = Rc::default();
    let told = Rc::new(Deferred::new());
    let question = Rc::new(RefCell::new(Question::default()));
    let target: EventTarget = AsRef::<web_sys::WebSocket>::as_ref(&socket.socket)
        .clone()
        .unchecked_into();

    let finish = {
        let (outcome, told) = (Rc::clone(&outcome), Rc::clone(&told));
        move |result| {
            outcome.borrow_mut().get_or_insert(result);
            told.resolve(&JsValue::UNDEFINED);
        }
    };
    let on_message = {
        let (socket, credential, finish) = (socket.socket.clone(), gateway.credential.clone(), finish.clone());
        let question = Rc::clone(&question);
        move |event: MessageEvent| {
            let Some(frame) = event.data().as_string() else {
                return;
            };
            let mut outbox = Vec::new();
            let received = question.borrow_mut().receive(&frame, &credential, &mut outbox);
            match received {
                Ok(Some(roster)) => finish(Ok(roster)),
                Ok(None) => {
                    for frame in outbox {
                        // One that cannot be sent is followed by the socket's close event.
                        let _ = socket.send_with_str(frame);
                    }
                }
                Err(failure) => finish(Err(failure)),
            }
        }
    };
    let on_close = move |event: CloseEvent| {
        let closed = question.borrow().closed(event.code());
        finish(Err(closed));
    };
    socket
        .listeners
        .extend(Listener::new(&target, "message", &lifeline, on_message));
    socket
        .listeners
        .extend(Listener::new(&target, "close", &lifeline, on_close));
    socket.socket.accept().map_err(|_| broken())?;
    // It is only ever resolved.
    let _ = JsFuture::from(told.promise.clone()).await;
    outcome.take().unwrap_or_else(|| Err(broken()))
}

fn broken() -> Failure {
    Failure::Unreachable(Diagnosis::ConnectionFailed)
}
