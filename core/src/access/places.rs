//! The requests for a run that the hub has accepted: their number, and the bytes of their bodies
//! that are held.
//!
//! A request takes its place before its body is read, because a client that sends no body must
//! count too. Each place belongs to a key, and a key gets no more than its share: one key alone
//! cannot fill the hub.
//!
//! ```text
//!   enter ──▶ Reading ──────────▶ Running ──▶ leave
//!             reserve (bytes)     release_body
//! ```

use crate::access::grant::Grant;
use crate::access::key::KeyId;
use crate::failure::Failure;

/// Requests for a run that the hub accepts at a time. Each takes about 100 kB, and 1 MiB more
/// if its client does not read; all of them share 128 MB of memory.
pub const MAX_PLACES: usize = 256;

/// Bytes of a body that count against no budget: a request without images is smaller. All places
/// together hold 16 MiB of them, so large bodies never keep small ones out.
pub const UNCOUNTED_BODY_BYTES: usize = 64 * 1024;

/// Bytes of all bodies beyond [`UNCOUNTED_BODY_BYTES`] that the hub holds. A body is held as
/// bytes, as text and as a frame for the gateway; all of these share 128 MB of memory.
pub const MAX_BODIES_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of the bodies of one key beyond [`UNCOUNTED_BODY_BYTES`] while no other key holds any: one
/// body of the largest size, or several smaller ones. A key must leave free as many bytes as it
/// holds, so no two keys can keep out the bodies of others.
pub const MAX_BODIES_BYTES_OF_KEY: usize = MAX_BODIES_BYTES / 2;

/// Milliseconds without activity after which a place is free again, because the runtime may end a
/// request without notice. A request is active at least every 75 s: a piece of its body, a frame, a
/// heartbeat or a deadline.
const STALE_MS: u64 = 90_000;

/// Seconds after which a client may try again when its key has no place left.
const RETRY_AFTER_S: u32 = 5;

/// The places of the hub. Source: the hub's own requests; never stale, and gone with the object.
#[derive(Debug, Default)]
pub struct Places {
    // A list and not a map, because the code of a map is larger than the data.
    list: Vec<Place>,
    /// The last ticket that was issued.
    ticket: u64,
}

#[derive(Debug)]
struct Place {
    ticket: Ticket,
    key: KeyId,
    phase: Phase,
    /// The time of the last activity.
    seen_ms: u64,
    /// Bytes of memory that the body holds.
    body_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The body is being read.
    Reading,
    /// The run is requested, or about to be.
    Running,
    /// An earlier hub requested the run, and its client may come back. It must get in then.
    Adopted,
}

/// The id of one place; no other place gets the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Places {
    /// Takes a place for a request whose body is not read yet. The caller calls [`Places::touch`]
    /// regularly, and [`Places::leave`] at the end.
    ///
    /// A key gets at most `runs` places, and must leave as many free as it has: it gets 128 if it
    /// is the only key, 64 if another key holds 128.
    pub fn enter(&mut self, client: &Grant, now_ms: u64) -> Result<Ticket, Failure> {
        let own = self.count(now_ms, |place| {
            place.key == client.id && place.phase != Phase::Adopted
        });
        if let Some(limit) = client.limits.concurrent_runs
            && own >= limit
        {
            return Err(too_many(limit));
        }
        let own_places = usize::try_from(own).unwrap_or(usize::MAX);
        if own_places >= self.free() {
            self.list.retain(|place| !place.is_stale(now_ms));
        }
        match self.free() {
            0 => return Err(Failure::TooManyStreams),
            free if own_places >= free => return Err(too_many(own)),
            _ => {}
        }
        Ok(self.push(&client.id, Phase::Reading, now_ms))
    }

    /// Takes a place for a run that an earlier hub requested, whether there is one or not.
    pub fn adopt(&mut self, key: &KeyId, now_ms: u64) -> Ticket {
        self.push(key, Phase::Adopted, now_ms)
    }

    /// Refuses a request that is no retry, if its key has too many runs together with those of an
    /// earlier hub.
    pub fn check(&self, client: &Grant, now_ms: u64) -> Result<(), Failure> {
        match client.limits.concurrent_runs {
            Some(limit) if self.held(&client.id, now_ms) > limit => Err(too_many(limit)),
            _ => Ok(()),
        }
    }

    fn push(&mut self, key: &KeyId, phase: Phase, now_ms: u64) -> Ticket {
        self.ticket = self.ticket.wrapping_add(1);
        let ticket = Ticket(self.ticket);
        self.list.push(Place {
            ticket,
            key: key.clone(),
            phase,
            seen_ms: now_ms,
            body_bytes: 0,
        });
        ticket
    }

    /// Counts `bytes` of memory for the request's body, all pieces together, before the memory is
    /// allocated. Refuses them if this key would hold more than it leaves free.
    pub fn reserve(&mut self, ticket: Ticket, bytes: usize, now_ms: u64) -> Result<(), Failure> {
        let Some(place) = self.list.iter().find(|place| place.ticket == ticket) else {
            return Err(Failure::TooManyLargeBodies);
        };
        let (mut all, mut of_key) = (counted(bytes), counted(bytes));
        for other in self
            .list
            .iter()
            .filter(|other| other.ticket != ticket && !other.is_stale(now_ms))
        {
            let bytes = counted(other.body_bytes);
            all = all.saturating_add(bytes);
            if other.key == place.key {
                of_key = of_key.saturating_add(bytes);
            }
        }
        // A body that stays within the uncounted bytes uses no budget.
        let is_more = counted(bytes) > counted(place.body_bytes);
        if is_more && of_key > MAX_BODIES_BYTES.saturating_sub(all) {
            return Err(Failure::TooManyLargeBodies);
        }
        if let Some(place) = self.place(ticket) {
            place.body_bytes = bytes;
            place.seen_ms = now_ms;
        }
        Ok(())
    }

    /// Releases the body's bytes: the body was sent to the gateway, or dropped.
    pub fn release_body(&mut self, ticket: Ticket) {
        if let Some(place) = self.place(ticket) {
            place.body_bytes = 0;
        }
    }

    /// Records that the body was read and the run is about to be requested.
    pub fn begin_run(&mut self, ticket: Ticket, now_ms: u64) {
        if let Some(place) = self.place(ticket) {
            place.phase = Phase::Running;
            place.seen_ms = now_ms;
        }
    }

    /// Records that the request is still active.
    pub fn touch(&mut self, ticket: Ticket, now_ms: u64) {
        if let Some(place) = self.place(ticket) {
            place.seen_ms = now_ms;
        }
    }

    /// Frees the place: the request and its run are over.
    pub fn leave(&mut self, ticket: Ticket) {
        self.list.retain(|place| place.ticket != ticket);
    }

    /// Returns the number of active runs of a key.
    pub fn running(&self, key: &KeyId, now_ms: u64) -> u32 {
        self.count(now_ms, |place| {
            place.key == *key && place.phase != Phase::Reading
        })
    }

    /// Returns the number of a key's requests whose bodies are being read.
    pub fn reading(&self, key: &KeyId, now_ms: u64) -> u32 {
        self.count(now_ms, |place| {
            place.key == *key && place.phase == Phase::Reading
        })
    }

    fn held(&self, key: &KeyId, now_ms: u64) -> u32 {
        self.count(now_ms, |place| place.key == *key)
    }

    fn count(&self, now_ms: u64, is_counted: impl Fn(&Place) -> bool) -> u32 {
        let counted = self
            .list
            .iter()
            .filter(|place| !place.is_stale(now_ms) && is_counted(place));
        u32::try_from(counted.count()).unwrap_or(u32::MAX)
    }

    fn free(&self) -> usize {
        MAX_PLACES.saturating_sub(self.list.len())
    }

    fn place(&mut self, ticket: Ticket) -> Option<&mut Place> {
        self.list.iter_mut().find(|place| place.ticket == ticket)
    }
}

impl Place {
    fn is_stale(&self, now_ms: u64) -> bool {
        self.seen_ms.saturating_add(STALE_MS) < now_ms
    }
}

fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(UNCOUNTED_BODY_BYTES)
}

fn too_many(limit: u32) -> Failure {
    Failure::ConcurrentRunsExceeded {
        limit,
        retry_after_s: RETRY_AFTER_S,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::admit::Grants;

    const MIB: usize = 1024 * 1024;

    fn client(id: &str, fields: &str) -> Grant {
        let mut clients = Grants::default();
        let mut problems = Vec::new();
        let hash = "2a8d067e7cf25d706cdff145793838f15f9aeca36fe804c02af78db2a21cf6ab";
        clients.extend(
            &format!("{id} sha256:{hash} agents=* {fields}"),
            &mut problems,
        );
        assert!(problems.is_empty(), "{problems:?}");
        clients.iter().next().unwrap().clone()
    }

    /// Takes places for the key until one is refused. Returns their number and the failure.
    fn fill(places: &mut Places, client: &Grant) -> (usize, Failure) {
        let mut refused = None;
        let taken = std::iter::from_fn(|| {
            places
                .enter(client, 0)
                .map_err(|failure| refused = Some(failure))
                .ok()
        })
        .count();
        (taken, refused.unwrap())
    }

    #[test]
    fn a_request_counts_for_its_key_before_its_body_is_read() {
        let (mut places, phone) = (Places::default(), client("phone", "runs=2"));
        let first = places.enter(&phone, 0).unwrap();
        let second = places.enter(&phone, 0).unwrap();
        assert_eq!(places.enter(&phone, 0), Err(too_many(2)));
        assert_eq!(
            (places.running(&phone.id, 0), places.reading(&phone.id, 0)),
            (0, 2)
        );
        places.begin_run(first, 0);
        assert_eq!(
            (places.running(&phone.id, 0), places.reading(&phone.id, 0)),
            (1, 1)
        );
        assert_eq!(places.enter(&phone, 0), Err(too_many(2)));
        places.leave(first);
        places.leave(first);
        assert!(places.enter(&phone, 0).is_ok());
        places.leave(second);
        assert_eq!(
            (places.running(&phone.id, 0), places.reading(&phone.id, 0)),
            (0, 1)
        );
    }

    #[test]
    fn no_key_takes_more_places_than_it_leaves_free() {
        let mut places = Places::default();
        let shares = [128, 64, 32, 16, 8, 4, 2, 1];
        for (number, share) in shares.into_iter().enumerate() {
            // `runs` does not raise the share.
            let key = client(
                &format!("key-{number}"),
                if number % 2 == 0 { "" } else { "runs=1000" },
            );
            assert_eq!(
                fill(&mut places, &key),
                (share, too_many(u32::try_from(share).unwrap()))
            );
        }
        assert_eq!(
            fill(&mut places, &client("last", "")),
            (1, Failure::TooManyStreams)
        );
        assert_eq!(
            places.enter(&client("late", ""), 0),
            Err(Failure::TooManyStreams)
        );
    }

    #[test]
    fn a_place_without_a_sign_of_life_is_free_again_in_time() {
        let (mut places, one) = (Places::default(), client("one", "runs=1"));
        let vanished = places.enter(&one, 0).unwrap();
        places.begin_run(vanished, 0);
        places.touch(vanished, 10_000);
        assert_eq!(places.enter(&one, 100_000), Err(too_many(1)));
        assert!(places.enter(&one, 100_001).is_ok());
        // The request was slow, not gone.
        places.touch(vanished, 100_002);
        assert_eq!(places.running(&one.id, 100_002), 1);
        places.leave(vanished);
        assert_eq!(places.running(&one.id, 100_002), 0);
        // The same in a full hub.
        let mut full = Places::default();
        for number in 0..9 {
            fill(&mut full, &client(&format!("key-{number}"), ""));
        }
        assert_eq!(full.enter(&one, 90_000), Err(Failure::TooManyStreams));
        assert!(full.enter(&one, 90_001).is_ok());
    }

    #[test]
    fn a_run_of_an_earlier_hub_keeps_its_place_and_lets_its_retry_in() {
        let (mut places, one) = (Places::default(), client("one", "runs=1"));
        let adopted = places.adopt(&one.id, 0);
        assert_eq!(
            (places.running(&one.id, 0), places.check(&one, 0)),
            (1, Ok(()))
        );
        let retry = places.enter(&one, 0).unwrap();
        assert_eq!(places.check(&one, 0), Err(too_many(1)));
        assert_eq!(places.enter(&one, 0), Err(too_many(1)));
        places.leave(adopted);
        assert_eq!(places.check(&one, 0), Ok(()));
        places.leave(retry);
    }

    #[test]
    fn the_bodies_of_a_key_hold_no_more_than_they_leave_free() {
        let mut places = Places::default();
        let mut body = |id: &str, bytes| {
            let ticket = places.enter(&client(id, ""), 0).unwrap();
            (ticket, places.reserve(ticket, bytes, 0))
        };
        let full = Err(Failure::TooManyLargeBodies);
        let (first, taken) = body("a", 10 * MIB);
        assert_eq!(taken, Ok(()));
        assert_eq!(body("a", 7 * MIB).1, full);
        let (second, taken) = body("a", 6 * MIB);
        assert_eq!(taken, Ok(()));
        for (id, share) in [("b", 8 * MIB), ("c", 4 * MIB), ("d", 2 * MIB)] {
            assert_eq!(body(id, share + MIB).1, full, "{id}");
            assert_eq!(body(id, share).1, Ok(()), "{id}");
        }
        assert_eq!(
            body("e", UNCOUNTED_BODY_BYTES).1,
            Ok(()),
            "a small one has its room"
        );
        // It grows while it is read.
        assert_eq!(places.reserve(second, 7 * MIB, 0), full);
        // A body that becomes smaller is never refused.
        assert_eq!(places.reserve(second, 5 * MIB, 0), Ok(()));
        places.release_body(first);
        places.release_body(second);
        assert_eq!(places.reserve(first, 9 * MIB, 0), Ok(()));
        // A place that is free again holds no bytes.
        let next = places.enter(&client("f", ""), 90_001).unwrap();
        assert_eq!(places.reserve(next, 16 * MIB, 90_001), Ok(()));
    }

    #[test]
    fn the_largest_body_fits_while_nothing_else_is_there() {
        let mut places = Places::default();
        let ticket = places.enter(&client("phone", ""), 0).unwrap();
        assert_eq!(
            places.reserve(ticket, crate::openai::MAX_BODY_BYTES, 0),
            Ok(())
        );
    }
}
