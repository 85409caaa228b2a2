//! The gateway's agents, cached in the hub: how long a list is used, and which request fetches the
//! next one.
//!
//! A list is fresh for a minute. An older list is used, and marked as old, while another request
//! fetches the next one and while the gateway does not respond. One request fetches at a time, so
//! the hub has at most one connection to the gateway for this. The caller owns the clock and the
//! connection: it asks for the next [`Step`], and records the result of each fetch.

use std::rc::Rc;

use crate::agent::AgentList;
use crate::failure::Failure;
use crate::http::head::Readiness;
use crate::openai::models::Source;

/// Age until which a list is fresh, in milliseconds: an agent that is made or removed shows after a
/// minute.
const FRESH_MS: u64 = 60_000;

/// Age up to which the last fetch counts as the gateway's state, in milliseconds, for a client that
/// may start another fetch.
const CHECK_MS: u64 = 5000;

/// Age up to which the last fetch counts as the gateway's state, in milliseconds, for any other
/// client.
const KNOWN_MS: u64 = 60_000;

/// Pause after a fetch that failed, in milliseconds: chat UIs request the models at every turn, and
/// each request would wait.
const RETRY_MS: u64 = 5000;

/// Limit for the connection, the handshake and the response together, in milliseconds, because a
/// person who opens a chat UI waits for it.
pub const FETCH_MS: u64 = 5000;

/// Time beyond the limit until a fetch without a result counts as ended, in milliseconds.
const GRACE_MS: u64 = 1000;

/// Poll interval while another request fetches the list, in milliseconds: one request cannot
/// resolve another's promise.
pub const POLL_MS: u64 = 50;

/// The last list, and the state of the fetches.
#[derive(Debug, Default)]
pub struct AgentCache {
    list: Option<Rc<AgentList>>,
    /// The list is fresh until this time.
    fresh_until_ms: u64,
    /// A request is fetching until this time. It is a time and not a flag, because a request may
    /// end without a result.
    fetching_until_ms: u64,
    /// No request fetches until this time.
    paused_until_ms: u64,
    last: Option<Fetch>,
}

/// The last fetch.
#[derive(Debug)]
struct Fetch {
    at_ms: u64,
    failure: Option<Failure>,
}

/// The agents that are known.
#[derive(Debug, Clone)]
pub struct Known {
    pub list: Option<Rc<AgentList>>,
    /// The source of the list, and its freshness.
    pub source: Source,
    /// The reason why the fetch for a fresh list failed.
    pub failure: Option<Failure>,
}

/// The next step of a request that needs the agents.
#[derive(Debug)]
pub enum Step<T> {
    Use(T),
    /// Another request is fetching: ask again after [`POLL_MS`].
    Poll,
    /// Fetch the list within [`FETCH_MS`], and call [`AgentCache::record`] with the result.
    Fetch,
}

impl AgentCache {
    /// Returns the next step of a request that needs the list.
    pub fn next(&mut self, now_ms: u64) -> Step<Known> {
        if now_ms < self.fresh_until_ms {
            return Step::Use(self.known(Source::Gateway, None));
        }
        if now_ms < self.paused_until_ms {
            return Step::Use(self.known(Source::AllowList, None));
        }
        if now_ms < self.fetching_until_ms {
            return match self.list {
                Some(_) => Step::Use(self.known(Source::AllowList, None)),
                None => Step::Poll,
            };
        }
        self.begin_fetch(now_ms)
    }

    /// Returns the next step of a request that needs the gateway's present state.
    pub fn next_check(&mut self, now_ms: u64) -> Step<()> {
        let is_recent = |last: &Fetch| now_ms < last.at_ms.saturating_add(CHECK_MS);
        if self.last.as_ref().is_some_and(is_recent) {
            return Step::Use(());
        }
        if now_ms < self.fetching_until_ms {
            return Step::Poll;
        }
        self.begin_fetch(now_ms)
    }

    fn begin_fetch<T>(&mut self, now_ms: u64) -> Step<T> {
        self.fetching_until_ms = now_ms.saturating_add(FETCH_MS).saturating_add(GRACE_MS);
        Step::Fetch
    }

    /// Records the result of a fetch, and returns the agents that are known then.
    pub fn record(&mut self, result: Result<AgentList, Failure>, now_ms: u64) -> Known {
        self.fetching_until_ms = 0;
        self.last = Some(Fetch {
            at_ms: now_ms,
            failure: result.as_ref().err().cloned(),
        });
        match result {
            Ok(list) => {
                self.list = Some(Rc::new(list));
                self.fresh_until_ms = now_ms.saturating_add(FRESH_MS);
                self.known(Source::Gateway, None)
            }
            Err(failure) => {
                self.paused_until_ms = now_ms.saturating_add(RETRY_MS);
                self.known(Source::AllowList, Some(failure))
            }
        }
    }

    fn known(&self, source: Source, failure: Option<Failure>) -> Known {
        Known {
            list: self.list.clone(),
            source,
            failure,
        }
    }

    /// Returns the gateway's state as the last fetch showed it.
    pub fn readiness(&self, now_ms: u64) -> Readiness {
        let Some(last) = &self.last else {
            return Readiness::Unknown;
        };
        let age_ms = now_ms.saturating_sub(last.at_ms);
        match &last.failure {
            _ if age_ms >= KNOWN_MS => Readiness::Unknown,
            Some(failure) => Readiness::NotReady {
                failure: failure.clone(),
                age_ms,
            },
            None => Readiness::Ready {
                agents: self.list.as_ref().map_or(0, |list| list.agents.len()),
                age_ms,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentId;
    use crate::failure::Deadline;

    const FAILURE: Failure = Failure::TimedOut(Deadline::Handshake);

    fn list(agent: &str) -> AgentList {
        AgentList {
            agents: AgentId::parse(agent).into_iter().collect(),
            ..AgentList::default()
        }
    }

    /// A cache that fetched `main` at 0.
    fn filled() -> AgentCache {
        let mut cache = AgentCache::default();
        assert!(matches!(cache.next(0), Step::Fetch));
        cache.record(Ok(list("main")), 0);
        cache
    }

    /// Returns the list that is used at this time, with its source.
    fn used(cache: &mut AgentCache, now_ms: u64) -> Option<(Option<AgentList>, Source)> {
        match cache.next(now_ms) {
            Step::Use(known) => Some((known.list.map(|list| (*list).clone()), known.source)),
            Step::Poll | Step::Fetch => None,
        }
    }

    #[test]
    fn a_list_is_fresh_for_a_minute() {
        let mut cache = filled();
        let fresh = Some((Some(list("main")), Source::Gateway));
        assert_eq!(used(&mut cache, FRESH_MS - 1), fresh);
        assert!(matches!(cache.next(FRESH_MS), Step::Fetch));
    }

    #[test]
    fn one_request_fetches_and_the_others_poll() {
        let mut cache = AgentCache::default();
        assert!(matches!(cache.next(0), Step::Fetch));
        assert!(matches!(cache.next(1), Step::Poll));
        assert!(matches!(cache.next_check(1), Step::Poll));
        cache.record(Ok(list("main")), 2);
        let fresh = Some((Some(list("main")), Source::Gateway));
        assert_eq!(used(&mut cache, 3), fresh);
    }

    #[test]
    fn a_fetch_without_a_result_is_replaced_after_its_limit_and_a_second() {
        let mut cache = AgentCache::default();
        assert!(matches!(cache.next(0), Step::Fetch));
        assert!(matches!(cache.next(FETCH_MS + GRACE_MS - 1), Step::Poll));
        assert!(matches!(cache.next(FETCH_MS + GRACE_MS), Step::Fetch));
    }

    #[test]
    fn an_old_list_is_used_while_another_request_fetches() {
        let mut cache = filled();
        assert!(matches!(cache.next(FRESH_MS), Step::Fetch));
        let old = Some((Some(list("main")), Source::AllowList));
        assert_eq!(used(&mut cache, FRESH_MS + 1), old);
        cache.record(Ok(list("work")), FRESH_MS + 2);
        let fresh = Some((Some(list("work")), Source::Gateway));
        assert_eq!(used(&mut cache, FRESH_MS + 3), fresh);
    }

    #[test]
    fn a_failed_fetch_keeps_the_old_list_and_pauses() {
        let mut cache = filled();
        assert!(matches!(cache.next(FRESH_MS), Step::Fetch));
        let known = cache.record(Err(FAILURE), FRESH_MS);
        assert_eq!(known.list.as_deref(), Some(&list("main")));
        assert_eq!(known.source, Source::AllowList);
        assert_eq!(known.failure, Some(FAILURE));
        let old = Some((Some(list("main")), Source::AllowList));
        assert_eq!(used(&mut cache, FRESH_MS + RETRY_MS - 1), old);
        assert!(matches!(cache.next(FRESH_MS + RETRY_MS), Step::Fetch));
    }

    #[test]
    fn without_any_list_the_keys_own_agents_are_used_during_a_pause() {
        let mut cache = AgentCache::default();
        cache.record(Err(FAILURE), 0);
        assert_eq!(used(&mut cache, 1), Some((None, Source::AllowList)));
    }

    #[test]
    fn a_check_uses_a_result_of_the_last_five_seconds() {
        let mut cache = filled();
        assert!(matches!(cache.next_check(CHECK_MS - 1), Step::Use(())));
        assert!(matches!(cache.next_check(CHECK_MS), Step::Fetch));
        cache.record(Err(FAILURE), CHECK_MS);
        // A failure is a result too.
        assert!(matches!(cache.next_check(2 * CHECK_MS - 1), Step::Use(())));
        assert!(matches!(cache.next_check(2 * CHECK_MS), Step::Fetch));
    }

    #[test]
    fn the_state_is_known_for_a_minute() {
        assert_eq!(AgentCache::default().readiness(0), Readiness::Unknown);
        let mut cache = filled();
        let age_ms = KNOWN_MS - 1;
        let ready = Readiness::Ready { agents: 1, age_ms };
        assert_eq!(cache.readiness(age_ms), ready);
        assert_eq!(cache.readiness(KNOWN_MS), Readiness::Unknown);
        cache.record(Err(FAILURE), KNOWN_MS);
        let failure = FAILURE;
        let not_ready = Readiness::NotReady { failure, age_ms: 7 };
        assert_eq!(cache.readiness(KNOWN_MS + 7), not_ready);
    }
}
