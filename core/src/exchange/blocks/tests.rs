use super::*;
use crate::exchange::Output;

const NOW_MS: u64 = 1_795_374_174_000;

/// Returns an event of this length.
fn event(bytes: usize) -> String {
    let [before, after] = ["event: x\ndata: ", "\n\n"];
    let rest = bytes
        .saturating_sub(before.len())
        .saturating_sub(after.len());
    [before, &"x".repeat(rest), after].concat()
}

/// Gathers these bytes and releases them.
fn release(record: &mut Record, bytes: &str, out: &mut Output) {
    record.gather(bytes.as_bytes(), NOW_MS);
    record.release(&mut out.blocks, &mut out.body);
}

/// Does the same with an output of its own.
fn released(record: &mut Record, bytes: &str) -> Vec<Block> {
    let mut out = Output::default();
    release(record, bytes, &mut out);
    assert_eq!(out.body, bytes.as_bytes());
    out.blocks
}

fn block(number: u32, events: &str) -> Block {
    Block {
        number,
        events: Some(events.to_owned()),
    }
}

#[test]
fn bytes_are_due_after_a_moment_or_if_they_are_many() {
    let mut record = Record::default();
    assert_eq!((record.due_at_ms(), record.is_due(u64::MAX)), (None, false));
    record.gather(b"", NOW_MS);
    assert_eq!(record.due_at_ms(), None);
    // The first byte begins the moment.
    record.gather(b"a", NOW_MS + 7);
    record.gather(b"b", NOW_MS + 100);
    assert_eq!(record.due_at_ms(), Some(NOW_MS + 257));
    assert!(!record.is_due(NOW_MS + 256) && record.is_due(NOW_MS + 257));
    let rest = vec![b'c'; GATHER_BYTES - 3];
    record.gather(&rest, NOW_MS + 100);
    assert!(!record.is_due(NOW_MS + 100));
    record.gather(b"d", NOW_MS + 100);
    assert!(record.is_due(NOW_MS + 100));
    release(&mut record, "", &mut Output::default());
    assert_eq!(record.due_at_ms(), None);
}

#[test]
fn a_block_grows_until_it_is_full() {
    let mut record = Record::default();
    let [first, second, third] = [event(100), event(BLOCK_BYTES - 101), event(40)];
    assert_eq!(released(&mut record, &first), [block(0, &first)]);
    let grown = first + &second;
    assert_eq!(grown.len(), BLOCK_BYTES - 1);
    assert_eq!(released(&mut record, &second), [block(0, &grown)]);
    let full = grown + &third;
    assert_eq!(released(&mut record, &third), [block(0, &full)]);
    assert_eq!(released(&mut record, &third), [block(1, &third)]);
    let large = event(BLOCK_BYTES);
    assert_eq!(
        released(&mut record, &large),
        [block(1, &(third.clone() + &large))]
    );
    assert_eq!(released(&mut record, &large), [block(2, &large)]);
    assert_eq!(released(&mut record, &third), [block(3, &third)]);
}

#[test]
fn comments_are_in_no_block() {
    for (bytes, events) in [
        (": ping\n", ""),
        (": a\n: b\n", ""),
        (": ping\nevent: x\ndata: 1\n\n", "event: x\ndata: 1\n\n"),
        (
            "event: x\ndata: 1\n\n: a\n: b\nevent: x\ndata: 2\n\n: c\n",
            "event: x\ndata: 1\n\nevent: x\ndata: 2\n\n",
        ),
        (
            "event: x\ndata: \": no comment\"\n\n",
            "event: x\ndata: \": no comment\"\n\n",
        ),
    ] {
        let mut record = Record::default();
        let blocks = released(&mut record, bytes);
        if events.is_empty() {
            assert_eq!(blocks, []);
        } else {
            assert_eq!(blocks, [block(0, events)]);
        }
        // The block goes on, as if there had been none.
        let next = event(50);
        let expected = events.to_owned() + &next;
        assert_eq!(released(&mut record, &next), [block(0, &expected)]);
    }
}

#[test]
fn blocks_that_are_not_taken_are_stored_once() {
    let mut record = Record::default();
    let mut out = Output::default();
    let [small, large] = [event(50), event(BLOCK_BYTES)];
    let mut sent = String::new();
    for bytes in [&small, &small, &large, &small, &small] {
        release(&mut record, bytes, &mut out);
        sent += bytes;
    }
    let full = small.repeat(2) + &large;
    assert_eq!(out.blocks, [block(0, &full), block(1, &small.repeat(2))]);
    assert_eq!(out.body, sent.as_bytes());
}

#[test]
fn too_many_events_are_one_block_without_events() {
    let mut record = Record::default();
    let half = event(MAX_EVENTS_BYTES / 2);
    for number in [0, 1] {
        assert_eq!(released(&mut record, &half), [block(number, &half)]);
    }
    // Comments do not count.
    assert_eq!(released(&mut record, ": ping\n"), []);
    let [small, large] = [event(40), event(BLOCK_BYTES)];
    let cut = Block {
        number: 2,
        events: None,
    };
    assert_eq!(released(&mut record, &small), [cut]);
    for bytes in [&small, &large, &small] {
        assert_eq!(released(&mut record, bytes), []);
    }
}

#[test]
fn the_record_of_an_earlier_hub_goes_on_in_another_block() {
    let small = event(40);
    let mut record = Record::after(3, 100_000);
    assert_eq!(released(&mut record, &small), [block(3, &small)]);
    // All events count.
    let mut record = Record::after(3, MAX_EVENTS_BYTES - 39);
    let [cut] = released(&mut record, &small).try_into().unwrap();
    assert_eq!((cut.number, cut.events), (3, None));
    // There are none because they were too many.
    let mut record = Record::after(0, 0);
    assert_eq!(released(&mut record, &small), []);
}
