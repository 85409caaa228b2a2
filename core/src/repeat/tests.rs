use super::*;

const FIRST: Entropy = Entropy {
    run: [1; 16],
    session: [2; 16],
};
const SECOND: Entropy = Entropy {
    run: [3; 16],
    session: [4; 16],
};

fn key_id(id: &str) -> KeyId {
    KeyId::parse(id).unwrap()
}

fn fingerprint(body: &str) -> Fingerprint {
    Fingerprint::of(&[], std::iter::empty(), body.as_bytes())
}

fn recalled(requests: &mut Requests, body: &str, attempt: u32, now_ms: u64) -> Option<[u8; 16]> {
    let (entropy, receiver) = requests
        .recall(&key_id("phone"), &fingerprint(body), attempt, now_ms)
        .unwrap()?;
    receiver.end(ExchangeEnd::Left, now_ms);
    Some(entropy.run)
}

#[test]
fn a_later_attempt_gets_what_the_earlier_one_got() {
    let mut requests = Requests::default();
    let _live = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 0);
    assert_eq!(
        recalled(&mut requests, "a", 0, 1),
        None,
        "the same attempt is another request"
    );
    assert_eq!(recalled(&mut requests, "b", 1, 1), None);
    assert!(
        requests
            .recall(&key_id("bot"), &fingerprint("a"), 1, 1)
            .unwrap()
            .is_none()
    );
    assert_eq!(recalled(&mut requests, "a", 1, 1), Some(FIRST.run));
    assert_eq!(recalled(&mut requests, "a", 1, 1), None, "each only once");
    assert_eq!(recalled(&mut requests, "a", 2, 2), Some(FIRST.run));
}

#[test]
fn two_equal_requests_are_each_repeated_by_themselves() {
    let mut requests = Requests::default();
    let _first = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 0);
    let _second = requests.remember(&key_id("phone"), fingerprint("a"), 0, SECOND, 0);
    let runs = [1, 1].map(|attempt| recalled(&mut requests, "a", attempt, 1).unwrap());
    assert_eq!(runs, [SECOND.run, FIRST.run]);
}

/// A request whose end was sent.
fn sent(requests: &mut Requests, entropy: Entropy, now_ms: u64) {
    let receiver = requests.remember(&key_id("phone"), fingerprint("a"), 0, entropy, now_ms);
    receiver.end(ExchangeEnd::Sent, now_ms);
}

#[test]
fn an_end_that_got_lost_can_be_asked_for_by_a_later_attempt_but_not_for_long() {
    let mut requests = Requests::default();
    sent(&mut requests, FIRST, 1);
    assert_eq!(
        recalled(&mut requests, "a", 0, 2),
        None,
        "the same words again"
    );
    let (_, receiver) = requests
        .recall(&key_id("phone"), &fingerprint("a"), 1, SENT_MS)
        .unwrap()
        .unwrap();
    receiver.end(ExchangeEnd::Sent, SENT_MS);
    drop(receiver);
    assert_eq!(recalled(&mut requests, "a", 2, 2 * SENT_MS), None);
}

#[test]
fn repeated_words_after_an_answer_do_not_get_the_earlier_answer() {
    let mut requests = Requests::default();
    // At the second attempt no run was started.
    sent(&mut requests, FIRST, 0);
    requests
        .remember(&key_id("phone"), fingerprint("a"), 0, SECOND, 1)
        .end(ExchangeEnd::NotStarted, 2);
    assert_eq!(recalled(&mut requests, "a", 1, 3), None);
    // The second attempt was refused before it was read.
    sent(&mut requests, FIRST, 4);
    requests.refused(&key_id("bot"), 0);
    requests.refused(&key_id("phone"), 1);
    assert_eq!(requests.0.len(), 1, "a refused retry forgets nothing");
    requests.refused(&key_id("phone"), 0);
    assert_eq!(recalled(&mut requests, "a", 1, 5), None);
}

#[test]
fn one_whose_client_left_is_remembered_for_a_while() {
    let mut requests = Requests::default();
    let receiver = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 0);
    receiver.end(ExchangeEnd::Left, 100_000);
    drop(receiver);
    assert_eq!(recalled(&mut requests, "a", 1, 239_999), Some(FIRST.run));
    assert_eq!(
        requests
            .recall(&key_id("phone"), &fingerprint("a"), 2, MEMORY_MS)
            .err(),
        Some(Failure::RunInProgress)
    );
    assert_eq!(recalled(&mut requests, "a", 3, 239_999 + MEMORY_MS), None);
}

#[test]
fn a_run_that_the_gateway_may_have_forgotten_is_not_asked_for_again() {
    let mut requests = Requests::default();
    let _live = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 0);
    let late = requests.recall(&key_id("phone"), &fingerprint("a"), 1, MEMORY_MS);
    assert_eq!(late.err(), Some(Failure::RunInProgress));
    let _keyed = requests
        .remember_keyed(&key_id("phone"), "run", fingerprint("a"), FIRST, 0)
        .unwrap();
    let late = requests.remember_keyed(&key_id("phone"), "run", fingerprint("a"), FIRST, MEMORY_MS);
    assert_eq!(late.err(), Some(Failure::RunInProgress));
}

#[test]
fn a_run_is_shared_while_two_exchanges_receive_it() {
    let mut requests = Requests::default();
    let first = requests
        .remember_keyed(&key_id("phone"), "run", fingerprint("a"), FIRST, 0)
        .unwrap();
    assert!(!first.is_shared());
    let second = requests
        .remember_keyed(&key_id("phone"), "run", fingerprint("a"), FIRST, 1)
        .unwrap();
    assert!(first.is_shared() && second.is_shared());
    drop(first);
    assert!(!second.is_shared());
}

#[test]
fn a_key_comes_with_one_body_only_until_it_turns_out_that_nothing_was_started() {
    let mut requests = Requests::default();
    let phone = key_id("phone");
    let receiver = requests
        .remember_keyed(&phone, "run", fingerprint("a"), FIRST, 0)
        .unwrap();
    let other = requests.remember_keyed(&phone, "run", fingerprint("b"), FIRST, 1);
    assert_eq!(other.err(), Some(Failure::IdempotencyKeyReused));
    assert!(
        requests
            .remember_keyed(&phone, "other", fingerprint("b"), FIRST, 1)
            .is_ok()
    );
    receiver.end(ExchangeEnd::Sent, 1);
    assert!(
        requests
            .remember_keyed(&phone, "run", fingerprint("b"), FIRST, 1)
            .is_err()
    );
    receiver.end(ExchangeEnd::NotStarted, 1);
    assert!(
        requests
            .remember_keyed(&phone, "run", fingerprint("b"), FIRST, 1)
            .is_ok()
    );
}

#[test]
fn one_keys_flood_drives_out_nobody_elses_memory() {
    let mut requests = Requests::default();
    let left = |requests: &mut Requests, key: &str, body: &str| {
        let receiver = requests.remember(&key_id(key), fingerprint(body), 0, FIRST, 0);
        receiver.end(ExchangeEnd::Left, 0);
    };
    left(&mut requests, "phone", "a");
    for n in 0..MAX_REQUESTS {
        left(&mut requests, "bot", &n.to_string());
    }
    assert_eq!(requests.0.len(), 1 + MAX_REQUESTS_OF_KEY);
    assert_eq!(recalled(&mut requests, "a", 1, 1), Some(FIRST.run));
}

#[test]
fn a_flood_of_answers_drives_out_no_request_whose_end_was_not_sent() {
    let mut requests = Requests::default();
    let mut end = |body: &str, end| {
        let receiver = requests.remember(&key_id("phone"), fingerprint(body), 0, FIRST, 0);
        receiver.end(end, 0);
    };
    end("a", ExchangeEnd::Unsent);
    for n in 0..2 * MAX_REQUESTS_OF_KEY {
        end(&n.to_string(), ExchangeEnd::Sent);
    }
    assert_eq!(requests.0.len(), MAX_REQUESTS_OF_KEY);
    assert_eq!(recalled(&mut requests, "a", 1, 1), Some(FIRST.run));
}

#[test]
fn no_flood_drives_out_a_request_that_is_going() {
    let mut requests = Requests::default();
    let going = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 0);
    let mut flood = |key: &str| {
        for n in 0..=MAX_REQUESTS_OF_KEY {
            let body = fingerprint(&n.to_string());
            let receiver = requests.remember(&key_id(key), body, 0, SECOND, 0);
            receiver.end(ExchangeEnd::Left, 0);
        }
    };
    flood("phone");
    for n in 0..MAX_REQUESTS / MAX_REQUESTS_OF_KEY {
        flood(&format!("bot-{n}"));
    }
    assert_eq!(requests.0.len(), MAX_REQUESTS);
    assert_eq!(recalled(&mut requests, "a", 1, 1), Some(FIRST.run));
    drop(going);
}

#[test]
fn a_fingerprint_has_everything_that_identifies_a_request() {
    let of = |headers: &[(&str, &str)], body: &str| {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Fingerprint::of(&["x-trip".to_owned()], headers, body.as_bytes())
    };
    let none = of(&[], "a");
    assert_ne!(none, of(&[], "b"));
    for name in [
        "x-openclaw-agent-id",
        "x-openclaw-session-key",
        "x-trip",
        "x-openwebui-user-email",
        "x-openwebui-chat-id",
        "x-librechat-conversation",
        "x_user_id",
        "x-forwarded-user",
        "cf-connecting-ip",
    ] {
        assert_ne!(none, of(&[(name, "v")], "a"), "{name}");
        assert_ne!(of(&[(name, "w")], "a"), of(&[(name, "v")], "a"), "{name}");
    }
    for name in [
        "x-stainless-retry-count",
        "traceparent",
        "cf-ray",
        "x-request-id",
        "x-forwarded-for",
    ] {
        assert_eq!(none, of(&[(name, "v")], "a"), "{name}");
    }
    assert_eq!(
        of(&[("x-a-user", "1"), ("x-b-user", "2")], "a"),
        of(&[("x-b-user", "2"), ("x-a-user", "1")], "a")
    );
}

#[test]
fn a_caller_is_the_same_one_at_another_address_and_another_one_under_another_name() {
    let of = |name: &str, value: &str| {
        Fingerprint::of_caller(
            &["x-trip".to_owned()],
            std::iter::once((name.to_owned(), value.to_owned())),
        )
    };
    assert_eq!(
        of("cf-connecting-ip", "192.0.2.1"),
        of("cf-connecting-ip", "192.0.2.2")
    );
    for name in [
        "x-forwarded-user",
        "thread-id",
        "x-trip",
        "x-openwebui-user-id",
    ] {
        assert_ne!(of(name, "1"), of(name, "2"), "{name}");
    }
}

#[test]
fn one_answer_names_the_session_of_requests_that_only_look_alike() {
    let mut requests = Requests::default();
    let first = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 0);
    assert!(first.may_name_session());
    // The first exchange's client may be gone: the client that retries is more likely to be
    // connected.
    let (_, second) = requests
        .recall(&key_id("phone"), &fingerprint("a"), 1, 1)
        .unwrap()
        .unwrap();
    assert!(second.may_name_session() && !first.may_name_session());
    first.named_session();
    second.named_session();
    let (_, third) = requests
        .recall(&key_id("phone"), &fingerprint("a"), 2, 2)
        .unwrap()
        .unwrap();
    assert!(second.may_name_session() && !third.may_name_session());
}

#[test]
fn requests_under_one_key_share_their_session() {
    let mut requests = Requests::default();
    let phone = key_id("phone");
    let first = requests
        .remember_keyed(&phone, "run", fingerprint("a"), FIRST, 0)
        .unwrap();
    first.named_session();
    let second = requests
        .remember_keyed(&phone, "run", fingerprint("a"), FIRST, 1)
        .unwrap();
    assert!(first.may_name_session() && second.may_name_session());
}

/// Returns the line of a row of these requests' only one, whose run may be going, or has ended.
fn line_of(requests: &Requests, run: &str, is_going: bool) -> String {
    let going = Kept {
        id: run,
        agent: "main",
        session: "agent:main:s",
        facts: Facts::V4,
        ..Kept::default()
    };
    let kept = if is_going { going } else { Kept::default() };
    format!("{run}\t{}", requests.0[0].row(kept))
}

fn restored(line: &str) -> (Requests, Option<Receiver>) {
    let mut requests = Requests::default();
    let kept = Kept::read(line).unwrap();
    let receiver = requests.restore(&kept).filter(|_| kept.is_going());
    (requests, receiver)
}

#[test]
fn a_request_is_known_to_the_next_hub() {
    let mut requests = Requests::default();
    let receiver = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 1);
    let line = line_of(&requests, "r", true);
    let (mut next, _adopted) = restored(&line);
    assert_eq!(recalled(&mut next, "a", 0, 2), None, "a first attempt");
    assert_eq!(recalled(&mut next, "b", 1, 2), None, "another body");
    let other = next.recall(&key_id("bot"), &fingerprint("a"), 1, 2);
    assert!(other.unwrap().is_none(), "another key");
    assert_eq!(recalled(&mut next, "a", 1, 2), Some(FIRST.run));
    assert_eq!(recalled(&mut next, "a", 1, 2), None, "each only once");
    // The attempt is in the row, too.
    let (mut third, _adopted) = restored(&line_of(&next, "r", true));
    assert_eq!(recalled(&mut third, "a", 1, 3), None);
    assert_eq!(recalled(&mut third, "a", 2, 3), Some(FIRST.run));
    // The end was sent: it is remembered for a while.
    receiver.end(ExchangeEnd::Sent, 5);
    drop(receiver);
    let line = line_of(&requests, "r", false);
    assert_eq!(
        recalled(&mut restored(&line).0, "a", 1, SENT_MS),
        Some(FIRST.run)
    );
    assert_eq!(recalled(&mut restored(&line).0, "a", 1, 5 + SENT_MS), None);
}

#[test]
fn one_keys_flood_drives_out_nobody_elses_memory_across_a_reset() {
    let mut next = Requests::default();
    let mut restore = |key: &str, body: &str, first_ms| {
        let mut requests = Requests::default();
        let (key, body) = (key_id(key), fingerprint(body));
        let receiver = requests.remember(&key, body, 0, FIRST, first_ms);
        receiver.end(ExchangeEnd::Left, first_ms);
        drop(receiver);
        let line = line_of(&requests, "r", false);
        assert!(next.restore(&Kept::read(&line).unwrap()).is_some());
    };
    restore("phone", "a", 1);
    for n in 0..MAX_REQUESTS {
        restore("bot", &n.to_string(), 2);
    }
    assert_eq!(next.0.len(), 1 + MAX_REQUESTS_OF_KEY);
    assert_eq!(recalled(&mut next, "a", 1, 3), Some(FIRST.run));
}

#[test]
fn the_body_of_a_key_is_known_to_the_next_hub() {
    let (phone, run) = (key_id("phone"), RunId::named(&[1; 16], &[2; 16]));
    let mut requests = Requests::default();
    let body = Fingerprint::of_run(&run);
    let _receiver = requests
        .remember_keyed(&phone, run.name().unwrap(), body, FIRST, 0)
        .unwrap();
    let (mut next, _adopted) = restored(&line_of(&requests, run.as_str(), true));
    let mut ask = |body, now_ms| {
        let receiver = next.remember_keyed(&phone, run.name().unwrap(), body, SECOND, now_ms);
        receiver.map(|receiver| receiver.is_shared())
    };
    let reused = Err(Failure::IdempotencyKeyReused);
    assert_eq!(ask(fingerprint("b"), 1), reused);
    assert_eq!(ask(body, 1), Ok(true));
    // Its session shows whether the gateway has the run, however old it is.
    assert_eq!(ask(body, 2 * MEMORY_MS), Ok(true));
}

#[test]
fn the_name_of_a_session_is_sent_once_across_a_reset() {
    let mut requests = Requests::default();
    let receiver = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 1);
    for is_named in [false, true] {
        if is_named {
            receiver.named_session();
        }
        let (mut next, _adopted) = restored(&line_of(&requests, "r", true));
        let (_, retry) = next
            .recall(&key_id("phone"), &fingerprint("a"), 1, 2)
            .unwrap()
            .unwrap();
        assert_eq!(retry.may_name_session(), !is_named);
    }
}

#[test]
fn a_retry_that_was_refused_forgets_no_run() {
    let mut requests = Requests::default();
    let first = requests.remember(&key_id("phone"), fingerprint("a"), 0, FIRST, 1);
    line_of(&requests, "r", true);
    drop(first);
    let (_, retry) = requests
        .recall(&key_id("phone"), &fingerprint("a"), 1, 2)
        .unwrap()
        .unwrap();
    retry.end(ExchangeEnd::NotStarted, 3);
    drop(retry);
    assert_eq!(recalled(&mut requests, "a", 2, 4), Some(FIRST.run));
}
