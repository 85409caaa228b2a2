//! The limits of a request's body while it arrives: its time, and its room in memory.

use crate::failure::Failure;

/// Milliseconds between two pieces of a body: a client that sends nothing for this time has
/// stalled.
pub const STALL_MS: u64 = 30_000;

/// Milliseconds that every body has, before the time that its bytes earn.
pub const START_MS: u64 = 30_000;

/// Bytes of a body that earn it another second. A client that sends more slowly over the whole body
/// is refused: 64 KiB/s are half a megabit, and the largest body takes 286 s at that rate.
pub const BYTES_PER_SECOND: u64 = 64 * 1024;

/// Milliseconds for which a refused body is still read. A client that is still sending when its
/// connection closes sees a broken connection instead of the response, and sends everything again.
pub const DRAIN_MS: u64 = 3_000;

/// Milliseconds in a second.
const SECOND_MS: u64 = 1000;

/// The time of one body.
#[derive(Debug, Clone, Copy)]
pub struct Upload {
    began_ms: u64,
    last_ms: u64,
    bytes: u64,
    /// The time of the refusal. The body is still read, so that its client sees the response.
    drains_from_ms: Option<u64>,
}

impl Upload {
    pub fn new(now_ms: u64) -> Self {
        Self {
            began_ms: now_ms,
            last_ms: now_ms,
            bytes: 0,
            drains_from_ms: None,
        }
    }

    /// Counts a piece of `bytes`, in the form in which they arrive over the network.
    pub fn receive(&mut self, bytes: usize, now_ms: u64) {
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.last_ms = now_ms;
    }

    /// Records that the body was refused.
    pub fn drain(&mut self, now_ms: u64) {
        self.drains_from_ms.get_or_insert(now_ms);
    }

    /// Returns the time by which the next piece has to arrive.
    pub fn deadline_ms(&self) -> u64 {
        let earned_ms = self.bytes.saturating_mul(SECOND_MS) / BYTES_PER_SECOND;
        let whole_ms = self
            .began_ms
            .saturating_add(START_MS)
            .saturating_add(earned_ms);
        let next_ms = self.last_ms.saturating_add(STALL_MS);
        let drained_ms = self
            .drains_from_ms
            .map(|from_ms| from_ms.saturating_add(DRAIN_MS));
        whole_ms.min(next_ms).min(drained_ms.unwrap_or(u64::MAX))
    }
}

/// Most bytes of room that a body gets before its first piece.
const FIRST_ROOM_BYTES: usize = 64 * 1024;

/// The room of one body in memory.
///
/// It grows with the bytes that arrive, and not with the bytes that were announced. Otherwise a
/// client that announces 16 MiB and then stalls keeps the bodies of others out.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    announced_bytes: Option<usize>,
    limit_bytes: usize,
}

impl Room {
    pub fn new(announced_bytes: Option<usize>, limit_bytes: usize) -> Self {
        Self {
            announced_bytes,
            limit_bytes,
        }
    }

    /// Returns the room before the first piece. Refuses a body that announces more than the limit.
    pub fn first(self) -> Result<usize, Failure> {
        let announced_bytes = self.announced_bytes.unwrap_or_default();
        self.check(announced_bytes)?;
        Ok(announced_bytes.min(FIRST_ROOM_BYTES))
    }

    /// Returns the room for `bytes` in all of a body that has room for `room_bytes`: at least twice
    /// as much if they do not fit, but no more than was announced.
    pub fn grown(self, room_bytes: usize, bytes: usize) -> Result<usize, Failure> {
        self.check(bytes)?;
        if bytes <= room_bytes {
            return Ok(room_bytes);
        }
        let largest = self.announced_bytes.unwrap_or(self.limit_bytes);
        let largest = largest.min(self.limit_bytes);
        Ok(room_bytes.saturating_mul(2).min(largest).max(bytes))
    }

    fn check(self, bytes: usize) -> Result<(), Failure> {
        let limit_bytes = self.limit_bytes;
        if bytes > limit_bytes {
            return Err(Failure::RequestTooLarge { limit_bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn the_room_of_a_body_grows_with_the_bytes_that_came() {
        let room = Room::new(Some(12 * MIB), 16 * MIB);
        assert_eq!(room.first(), Ok(64 * 1024));
        for (has, bytes, expected) in [
            (64 * 1024, 64 * 1024, 64 * 1024),
            (64 * 1024, 64 * 1024 + 1, 128 * 1024),
            (2 * MIB, 5 * MIB, 5 * MIB),
            (8 * MIB, 8 * MIB + 1, 12 * MIB),
            // More bytes than were announced.
            (12 * MIB, 12 * MIB + 1, 12 * MIB + 1),
        ] {
            assert_eq!(room.grown(has, bytes), Ok(expected), "{has} {bytes}");
        }
        assert_eq!(Room::new(Some(100), MIB).first(), Ok(100));
        let unannounced = Room::new(None, 3 * MIB);
        assert_eq!(unannounced.first(), Ok(0));
        assert_eq!(unannounced.grown(2 * MIB, 2 * MIB + 1), Ok(3 * MIB));
    }

    #[test]
    fn a_body_is_refused_when_it_announces_too_much_or_sends_too_much() {
        let too_large = Err(Failure::RequestTooLarge { limit_bytes: MIB });
        assert_eq!(Room::new(Some(MIB + 1), MIB).first(), too_large);
        assert_eq!(Room::new(None, MIB).grown(MIB, MIB + 1), too_large);
        assert_eq!(Room::new(Some(MIB), MIB).grown(0, MIB), Ok(MIB));
    }

    #[test]
    fn a_body_that_stalls_is_waited_for_30_seconds() {
        let mut upload = Upload::new(1_000);
        assert_eq!(upload.deadline_ms(), 31_000);
        upload.receive(8 * 1024 * 1024, 2_000);
        assert_eq!(upload.deadline_ms(), 32_000, "from its last piece on");
    }

    #[test]
    fn a_body_that_drips_ends_30_seconds_after_it_began() {
        let mut upload = Upload::new(0);
        for second in 1..30 {
            upload.receive(64, second * 1000);
        }
        assert_eq!(upload.deadline_ms(), 30_028);
    }

    #[test]
    fn a_body_that_keeps_its_rate_is_read_to_its_end() {
        let mut upload = Upload::new(0);
        for second in 1..=256 {
            assert!(second * 1000 < upload.deadline_ms());
            upload.receive(64 * 1024, second * 1000);
        }
    }

    #[test]
    fn a_body_that_was_refused_is_read_for_3_seconds() {
        let mut upload = Upload::new(0);
        upload.receive(1024, 5_000);
        upload.drain(5_000);
        upload.receive(1024, 7_000);
        upload.drain(7_000);
        assert_eq!(upload.deadline_ms(), 8_000);
    }
}
