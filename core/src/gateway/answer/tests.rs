use super::*;

fn item<'a>(id: &'a str, text: &'a str) -> Update<'a> {
    Update {
        item: Some(id),
        text,
        delta: "",
    }
}

fn segment<'a>(text: &'a str, delta: &'a str) -> Update<'a> {
    Update {
        item: None,
        text,
        delta,
    }
}

fn stream(updates: &[Update<'_>]) -> (String, Result<(), Failure>, bool) {
    let mut answer = AnswerText::default();
    let mut sent = String::new();
    for update in updates {
        match answer.update(*update) {
            Ok(text) => sent.push_str(text),
            Err(failure) => return (sent, Err(failure), answer.is_settled()),
        }
    }
    let settled = answer.is_settled();
    (sent, Ok(()), settled)
}

#[test]
fn each_text_adds_what_the_last_one_lacked() {
    assert_eq!(
        stream(&[
            item("1", "w0"),
            item("1", "w0 w1"),
            item("1", "w0 w1"),
            item("1", "w0 w1 ü")
        ]),
        ("w0 w1 ü".into(), Ok(()), true)
    );
}

#[test]
fn items_are_joined_by_a_blank_line() {
    assert_eq!(
        stream(&[
            item("1", "Let me check."),
            item("2", ""),
            item("2", "w0"),
            item("2", "w0 w1")
        ]),
        ("Let me check.\n\nw0 w1".into(), Ok(()), true)
    );
}

#[test]
fn segments_without_ids_begin_where_the_delta_is_all_of_the_text() {
    assert_eq!(
        stream(&[
            segment("w0", "w0"),
            segment("w0 w1", " w1"),
            // Happens to extend the segment before it, but is a new segment.
            segment("w0 w1 w2", "w0 w1 w2"),
        ]),
        ("w0 w1\n\nw0 w1 w2".into(), Ok(()), true)
    );
}

#[test]
fn a_retracted_item_is_silent_until_its_successor_has_passed_it() {
    let updates = [
        item("1", "w0 w1"),
        item("1", ""),
        item("2", "w0"),
        item("2", "w0 w1"),
        item("2", "w0 w1 w2"),
    ];
    assert_eq!(stream(&updates), ("w0 w1 w2".into(), Ok(()), true));
    assert_eq!(stream(&updates[..2]), ("w0 w1".into(), Ok(()), false));
    assert_eq!(stream(&updates[..3]), ("w0 w1".into(), Ok(()), false));
    assert_eq!(stream(&updates[..4]), ("w0 w1".into(), Ok(()), true));
}

#[test]
fn a_retraction_after_a_finished_item_leaves_that_item_alone() {
    assert_eq!(
        stream(&[
            item("1", "Let me check."),
            item("2", "w0 w1"),
            item("2", ""),
            item("3", "w0 w1 w2"),
        ]),
        ("Let me check.\n\nw0 w1 w2".into(), Ok(()), true)
    );
}

#[test]
fn white_space_makes_no_other_text() {
    // The updates of 2026.9.6 and 2026.3.13 around a `MEDIA:` line, recorded.
    let updates = [
        item("1", "Hello  two\n\n- a:  b\n  - c\n\n\nx   y "),
        item("1", "Hello two\n\n- a: b\n  - c\n\nx y"),
        item("1", "Hello two\n\n- a: b\n  - c\n\nx y\n  en"),
        item("1", "Hello two\n\n- a: b\n  - c\n\nx y\n  end  of"),
    ];
    let first = "Hello  two\n\n- a:  b\n  - c\n\n\nx   y ";
    assert_eq!(stream(&updates[..2]), (first.into(), Ok(()), true));
    assert_eq!(stream(&updates), (format!("{first}end  of"), Ok(()), true));
    // A text with fewer words than were sent is not settled.
    let behind = [updates[0], item("1", "Hello two")];
    assert_eq!(stream(&behind), (first.into(), Ok(()), false));

    let mut answer = AnswerText::default();
    answer.update(updates[0]).unwrap();
    assert_eq!(
        answer.check_last("Hello two\n\n- a: b\n  - c\n\nx y", 1),
        Ok("")
    );
    assert_eq!(
        answer.check_whole(&["Hello two\n- a: b\n - c\nx y"], Attempts::One),
        Ok("")
    );
    assert_eq!(
        answer.check_whole(
            &["Hello two\n- a: b\n - c\nx y and all the rest of it"],
            Attempts::One
        ),
        Ok("and all the rest of it")
    );
    answer.interrupt(Emitted::Part);
    assert_eq!(
        answer.update_whole("Hello two\n\n- a: b\n  - c\n\nx"),
        Ok("")
    );
    assert!(!answer.is_settled());
    assert_eq!(
        answer.update_whole(&format!("{} More.", answer.sent.clone())),
        Ok(" More.")
    );
    assert!(answer.is_settled());
}

#[test]
fn blanks_do_not_make_up_for_words_that_were_taken_back() {
    let updates = [item("1", "abc"), item("1", "a   b")];
    assert_eq!(stream(&updates), ("abc".into(), Ok(()), false));
    assert!(stream(&[updates[0], updates[1], item("1", "a   b c")]).2);
    let mut answer = AnswerText::default();
    answer.update(updates[0]).unwrap();
    answer.interrupt(Emitted::Part);
    for behind in ["a b", "a   b", "ab"] {
        assert_eq!(answer.update_whole(behind), Ok(""));
        assert!(!answer.is_settled(), "{behind:?}");
    }
    assert_eq!(answer.update_whole("a b c"), Ok(""));
    assert!(answer.is_settled());
}

#[test]
fn the_sent_text_is_the_last_of_random_versions_or_is_not_settled() {
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let mut seed = 1_u64;
    let mut random = move |below: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut settled = 0;
    for _ in 0..20_000 {
        let mut answer = AnswerText::default();
        let mut sent = String::new();
        // Each version begins with a part of "abab…", with blanks at random, and ends at
        // random.
        let mut version = |most: u64| {
            let mut text = String::new();
            for at in 0..=random(most) {
                let wrong = random(30) == 0;
                text.push(if wrong {
                    'x'
                } else {
                    char::from(b'a' + u8::try_from(at % 3).unwrap())
                });
                text.push_str(["", "", "", " ", "\n", "  "][usize::try_from(random(6)).unwrap()]);
            }
            text
        };
        let texts: Vec<String> = (0..4).map(|_| version(7)).collect();
        let whole = texts.len() / 2;
        let mut result = Ok(());
        for (at, text) in texts.iter().enumerate() {
            if at == whole && text.len() % 2 == 0 {
                answer.interrupt(Emitted::Part);
            }
            let update = if answer.is_interrupted() {
                answer.update_whole(text)
            } else {
                answer.update(item("1", text))
            };
            match update {
                Ok(fresh) => sent.push_str(fresh),
                Err(failure) => {
                    result = Err(failure);
                    break;
                }
            }
        }
        assert_eq!(sent, answer.sent);
        if result.is_ok() && answer.is_settled() {
            settled += 1;
            assert_eq!(words(&sent), words(texts.last().unwrap()), "{texts:?}");
        }
    }
    assert!(settled > 1000, "{settled}");
}

#[test]
fn text_that_comes_only_as_progress_is_sent_once_and_in_its_place() {
    let mut answer = AnswerText::default();
    let mut sent = String::new();
    sent.push_str(answer.begin_call().unwrap());
    answer.note_aside("commentary-0", "Let me");
    answer.note_aside("commentary-0", "Let me check.");
    sent.push_str(answer.take_aside().unwrap());
    // Another tool of the same call.
    answer.note_aside("commentary-0", "Let me check.");
    sent.push_str(answer.take_aside().unwrap());
    sent.push_str(answer.begin_call().unwrap());
    sent.push_str(answer.update(item("2", "Once more.")).unwrap());
    // Streamed text also comes as progress.
    answer.note_aside("commentary-1", "Once more.");
    sent.push_str(answer.take_aside().unwrap());
    sent.push_str(answer.begin_call().unwrap());
    // No tool event was received.
    answer.note_aside("commentary-2", "Let me check.");
    sent.push_str(answer.begin_call().unwrap());
    sent.push_str(answer.update(item("4", "Done.")).unwrap());
    assert_eq!(
        sent,
        "Let me check.\n\nOnce more.\n\nLet me check.\n\nDone."
    );
    assert!(answer.is_settled() && answer.items() == 4);
    assert_eq!(
        answer.without_asides(answer.asides.len()),
        "Once more.\n\nDone."
    );

    // After a loss, the whole answer lacks them.
    answer.interrupt(Emitted::Part);
    assert_eq!(answer.update_whole("Once more.\n\nDone. Bye."), Ok(" Bye."));
    answer.begin_call().unwrap();
    answer.note_aside("commentary-5", "I look.");
    assert_eq!(answer.take_aside(), Ok("\n\nI look."));
    assert!(answer.is_settled());
    assert_eq!(
        answer.update_whole("Once more.\n\nDone. Bye.\n\nSeen."),
        Ok("\n\nSeen.")
    );
    assert!(answer.is_settled());

    let mut first = AnswerText::default();
    first.note_aside("commentary-0", "Let me check.");
    first.take_aside().unwrap();
    first.interrupt(Emitted::Part);
    assert_eq!(first.update_whole("Done."), Ok("\n\nDone."));
    assert_eq!(first.update_whole("Done. Bye."), Ok(" Bye."));
}

#[test]
fn a_text_that_contradicts_what_was_sent_gives_the_answer_up() {
    for updates in [
        vec![item("1", "w0 w1"), item("1", "x")],
        vec![item("1", "w0 w1"), item("1", ""), item("2", "x")],
        vec![item("1", "w0 w1"), item("1", "w0"), item("2", "x")],
        vec![item("1", "a"), item("2", "b"), item("1", "")],
        vec![item("1", "a"), item("2", "b"), item("1", "c")],
    ] {
        let (_, result, _) = stream(&updates);
        assert_eq!(result, Err(Failure::AnswerRetracted), "{updates:?}");
    }
}

#[test]
fn a_restarted_segment_is_not_repeated() {
    let mut answer = AnswerText::default();
    assert_eq!(answer.update(segment("w0", "w0")), Ok("w0"));
    answer.restart();
    assert!(!answer.is_settled());
    assert_eq!(answer.update(segment("w0", "w0")), Ok(""));
    assert_eq!(answer.update(segment("w0 w1", " w1")), Ok(" w1"));
    assert!(answer.is_settled());
}

#[test]
fn a_missing_end_of_the_last_item_is_sent_and_nothing_is_sent_twice() {
    let missing = |updates: &[Update<'_>], last: &str, turns: u64| {
        let mut answer = AnswerText::default();
        for update in updates {
            answer.update(*update).unwrap();
        }
        answer.check_last(last, turns).unwrap().to_owned()
    };
    let one = [item("1", "Let me check.")];
    assert_eq!(missing(&one, "Let me check.", 1), "");
    assert_eq!(missing(&one, "Let me check. Done.", 1), " Done.");
    assert_eq!(missing(&one, "It is four.", 2), "\n\nIt is four.");
    // Every call of the model was received: the same text in other words.
    assert_eq!(missing(&one, "It is four.", 1), "");
    assert_eq!(missing(&one, "Let me check!", 2), "");
    assert_eq!(missing(&one, " check. ", 2), "");
    assert_eq!(missing(&one, "", 2), "");
    let two = [item("1", "Let me check."), item("2", "It is")];
    assert_eq!(missing(&two, "It is four.", 2), " four.");
    assert_eq!(missing(&two, "Let me check.", 3), "");
}

#[test]
fn words_of_a_failed_attempt_are_never_taken_for_the_answer() {
    let after = |updates: &[Update<'_>], messages: &[&str], attempts: Attempts| {
        let mut answer = AnswerText::default();
        for update in updates {
            answer.update(*update).unwrap();
        }
        let unbroken = answer
            .clone()
            .check_whole(messages, attempts)
            .map(str::to_owned);
        answer.interrupt(Emitted::Part);
        let interrupted = answer.complete(messages, attempts).map(str::to_owned);
        assert_eq!(unbroken, interrupted);
        interrupted
    };
    let one = [segment("w0", "w0"), segment("w0 w1", " w1")];
    // Only the end shows whether it was a tool or a failed attempt.
    let two = ["w0 w1 w2", "w0 w1 w2 w3"];
    assert_eq!(
        after(&one, &two, Attempts::One),
        Ok(" w2\n\nw0 w1 w2 w3".into())
    );
    assert_eq!(
        after(&one, &two, Attempts::Unknown),
        Err(Failure::AnswerLost)
    );
    // One message is from one attempt, and the one in progress counts as whole.
    assert_eq!(
        after(&one, &["w0 w1 w2"], Attempts::Unknown),
        Ok(" w2".into())
    );
    let both = [one[0], one[1], segment("v0", "v0")];
    assert_eq!(
        after(&both, &["w0 w1", "v0 v1"], Attempts::Unknown),
        Ok(" v1".into())
    );
    assert_eq!(
        after(&both, &["w0 w1", "v0 v1", "v0"], Attempts::Unknown),
        Err(Failure::AnswerLost)
    );

    // A failed attempt that was received; the text of the next attempt was not.
    let mut answer = AnswerText::default();
    answer.update(one[0]).unwrap();
    answer.restart();
    answer.update(one[0]).unwrap();
    answer.update(segment("w0\n\nw1", "\n\nw1")).unwrap();
    answer.interrupt(Emitted::Part);
    assert_eq!(
        answer.complete(&["w0", "w1 w2"], Attempts::Unknown),
        Err(Failure::AnswerLost)
    );
}

#[test]
fn an_answer_over_the_limit_is_refused() {
    let text = "x".repeat(MAX_ANSWER_BYTES + 1);
    assert_eq!(
        AnswerText::default().update(item("1", &text)).map(str::len),
        Err(Failure::AnswerTooLarge {
            limit_bytes: MAX_ANSWER_BYTES
        })
    );
}

#[test]
fn an_aside_before_a_text_that_was_emitted_and_missed_stays_one() {
    let mut answer = AnswerText::default();
    let mut sent = String::new();
    answer.note_aside("c0", "Let me check.");
    sent.push_str(answer.take_aside().unwrap());
    answer.begin_call().unwrap();
    // The text of the next call was emitted, and missed; its progress was not.
    answer.interrupt(Emitted::Part);
    answer.note_aside("c1", "Once more.");
    sent.push_str(answer.take_aside().unwrap());
    answer.begin_call().unwrap();
    sent.push_str(answer.update_whole("Once more.\n\nDone.").unwrap());
    assert_eq!(sent, "Let me check.\n\nOnce more.\n\nDone.");
}

#[test]
fn an_aside_with_which_the_next_text_begins_stays_one() {
    let mut answer = AnswerText::default();
    let mut sent = String::new();
    answer.note_aside("c0", "OK");
    sent.push_str(answer.take_aside().unwrap());
    answer.begin_call().unwrap();
    answer.interrupt(Emitted::Part);
    sent.push_str(answer.update_whole("OKAPI is an animal.").unwrap());
    assert_eq!(sent, "OK\n\nOKAPI is an animal.");
}
