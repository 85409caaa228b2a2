use super::*;

/// Returns whether the session holds a conversation with this last answer, whatever else it holds,
/// or any conversation if there is none to compare.
fn held(rows: &str, answer: Option<&str>) -> Option<bool> {
    let payload = RawValue::from_string(format!(r#"{{"messages":{rows}}}"#)).unwrap();
    holds(Some(&payload), answer)
}

fn holds(payload: Option<&RawValue>, answer: Option<&str>) -> Option<bool> {
    let turns: Vec<ShownTurn> = answer.map(|answer| shown("", answer)).into_iter().collect();
    let held = compare(payload, &turns, "")?.held;
    Some(!matches!(held, Held::Nothing | Held::Other))
}

fn shown(message: &str, answer: &str) -> ShownTurn {
    ShownTurn {
        message: message.to_owned(),
        answer: answer.to_owned(),
    }
}

const USER: &str = r#"{"role":"user","content":"q"}"#;
const ANSWER: &str =
    r#"{"role":"assistant","content":[{"type":"text","text":"Hello Ada. "}],"stopReason":"stop"}"#;

#[test]
fn a_session_holds_a_conversation_that_ends_with_the_same_answer() {
    let rows = format!("[{USER},{ANSWER}]");
    assert_eq!(held(&rows, Some("Hello  Ada.")), Some(true));
    assert_eq!(held(&rows, Some("Hello Bob.")), Some(false));
    assert_eq!(held(&rows, None), Some(true));
    let text = r#"[{"role":"assistant","content":"Hello Ada."}]"#;
    assert_eq!(held(text, Some("Hello Ada.")), Some(true));
}

#[test]
fn an_answer_may_have_further_paragraphs_where_it_is_shown_or_held() {
    let long = "Hello Ada, your mail is gone.";
    let rows = |text: &str| {
        let row = serde_json::json!({ "role": "assistant", "content": text });
        format!("[{row}]")
    };
    for longer in [
        format!("Let me check.\n\n{long}"),
        format!("{long}\r\n \r\nSources: none"),
    ] {
        assert_eq!(held(&rows(long), Some(&longer)), Some(true), "{longer}");
        assert_eq!(held(&rows(&longer), Some(long)), Some(true), "{longer}");
    }
    for other in [
        format!("Well: {long}"),
        format!("Well:\n{long}"),
        format!("{long} Not yours."),
        format!("{long}\nNot yours."),
    ] {
        assert_eq!(held(&rows(long), Some(&other)), Some(false), "{other}");
        assert_eq!(held(&rows(&other), Some(long)), Some(false), "{other}");
    }
}

#[test]
fn a_short_answer_is_the_same_only_as_a_whole() {
    let rows = |text: &str| {
        let row = serde_json::json!({ "role": "assistant", "content": text, "stopReason": "stop" });
        format!("[{USER},{row}]")
    };
    for (shown, other) in [
        ("4", "42 is the number of people I have invited."),
        (
            "Yes",
            "Yes, I have deleted the production database as you said.",
        ),
        ("No.", "I looked everywhere. The answer is No."),
        ("I", "I will transfer the money."),
        ("Done.", "Mail 7 deleted.\n\nDone."),
        ("", "Done."),
    ] {
        assert_eq!(held(&rows(other), Some(shown)), Some(false), "{shown}");
        assert_eq!(held(&rows(shown), Some(other)), Some(false), "{shown}");
    }
    assert_eq!(held(&rows("4"), Some(" 4\n")), Some(true));
    for tagged in ["[[reply_to_current]] Yes.", "<think>Is it?</think>Yes."] {
        assert_eq!(held(&rows(tagged), Some("Yes.")), Some(true), "{tagged}");
    }
}

#[test]
fn an_answer_may_be_all_texts_of_its_turn() {
    let rows = format!("[{USER},{CALL},{RESULT},{DONE}]");
    for (shown, is_held) in [
        ("Let me look.\n\nDone.", true),
        ("Done.", true),
        ("Let me look.", false),
        ("Look.\n\nDone.", false),
    ] {
        assert_eq!(held(&rows, Some(shown)), Some(is_held), "{shown}");
    }
    let earlier = format!("[{CALL},{USER},{DONE}]");
    assert_eq!(held(&earlier, Some("Let me look.\n\nDone.")), Some(false));
}

#[test]
fn an_answer_with_a_masked_secret_matches_and_is_not_repeated() {
    let row =
        |text: &str| format!(r#"{{"role":"assistant","content":"{text}","stopReason":"stop"}}"#);
    let masked = row("Your key is sk-abc…ABCD, keep it.");
    let rows = format!("[{USER},{masked}]");
    let shown = "Your key is sk-abcdefghijklmnopqrstuvwxyz0123456789ABCD, keep it.";
    assert_eq!(held(&rows, Some(shown)), Some(true));
    assert_eq!(
        held(&rows, Some(&format!("Let me look.\n\n{shown}"))),
        Some(true)
    );
    assert_eq!(held(&rows, Some("Your key is lost.")), Some(false));
    assert_eq!(
        held(&rows, Some("Your key is sk-abcdefgh, keep it, ABCD")),
        Some(false)
    );
    // Too short to prove anything.
    assert_eq!(
        held(&format!("[{}]", row("a…b")), Some("abba")),
        Some(false)
    );

    let ours = user(&RunId::named(&[1; 16], &[2; 16]));
    assert_eq!(found(&[&ours, &masked]), Ok(Some(Recorded::Unreadable)));
    let plain = row("Well … yes. And so on…");
    let expected = answered("Well … yes. And so on…", Finish::Stop, Usage::default());
    assert_eq!(found(&[&ours, &plain]), Ok(Some(expected)));
}

fn rows_of(rows: &[&str]) -> Box<RawValue> {
    RawValue::from_string(format!(r#"{{"messages":[{}]}}"#, rows.join(","))).unwrap()
}

fn found(rows: &[&str]) -> Result<Option<Recorded>, Failure> {
    recorded(Some(&rows_of(rows)), &RunId::named(&[1; 16], &[2; 16]))
}

fn user(run: &RunId) -> String {
    format!(
        r#"{{"role":"user","content":"q","idempotencyKey":"{}:user"}}"#,
        run.as_str()
    )
}

fn answered(text: &str, finish: Finish, usage: Usage) -> Recorded {
    let summary = RunSummary { finish, usage };
    let text = text.to_owned();
    Recorded::Answered {
        text,
        question: None,
        summary,
    }
}

const CALL: &str = r#"{"role":"assistant","content":[{"type":"text","text":"Let me look."},{"type":"toolCall","name":"exec"}],"stopReason":"toolUse","usage":{"input":1,"output":2,"cacheRead":3,"cacheWrite":4}}"#;
const RESULT: &str = r#"{"role":"toolResult","content":[{"type":"text","text":"secret"}]}"#;
const DONE: &str = r#"{"role":"assistant","content":"Done.","stopReason":"stop","usage":{"input":10,"output":20}}"#;
const FAILED: &str = r#"{"role":"assistant","content":[],"stopReason":"error"}"#;
const RECOVERY: &str = r#"{"role":"user","content":"[System] …","idempotencyKey":"x:user","provenance":{"kind":"internal_system","sourceTool":"main_session_restart_recovery"}}"#;

#[test]
fn a_run_is_found_by_its_message_and_its_answer_ends_with_its_turn() {
    let ours = user(&RunId::named(&[1; 16], &[2; 16]));
    let usage = Usage {
        prompt: 18,
        cached: 3,
        cache_written: 4,
        completion: 22,
    };
    let one = Usage {
        prompt: 10,
        completion: 20,
        ..Usage::default()
    };
    assert_eq!(
        found(&[&ours, CALL, RESULT, DONE]),
        Ok(Some(answered("Let me look.\n\nDone.", Finish::Stop, usage)))
    );
    assert_eq!(
        found(&[USER, ANSWER, &ours, DONE, USER, ANSWER]),
        Ok(Some(answered("Done.", Finish::Stop, one)))
    );
    assert_eq!(
        found(&[&ours, FAILED, DONE]),
        Ok(Some(answered("Done.", Finish::Stop, one)))
    );
    assert_eq!(
        found(&[&ours, CALL, RECOVERY, DONE]),
        Ok(Some(answered("Let me look.\n\nDone.", Finish::Stop, usage)))
    );
    let long = DONE.replace(r#""stop""#, r#""length""#);
    assert_eq!(
        found(&[&ours, &long]),
        Ok(Some(answered("Done.", Finish::Length, one)))
    );
}

const ASKED: &str = r#"{"role":"assistant","content":[{"type":"text","text":"I must know."},{"type":"toolCall","name":"ask_user","arguments":{"questions":[{"question":"Where to?","options":[{"label":"Here"},{"label":"There"}]}]}}],"stopReason":"toolUse","usage":{"input":1,"output":2}}"#;
/// A row that the gateway may write when a run is stopped. Measured.
const STOPPED: &str = r#"{"role":"assistant","content":[{"type":"text","text":"I must know."}],"stopReason":"stop","model":"gateway-injected","openclawAbort":{"aborted":true,"origin":"rpc"},"usage":{"input":0,"output":0}}"#;
const QUESTION: &str = "Where to?\n\n1. Here\n2. There";

#[test]
fn a_run_that_ends_with_a_question_to_its_user_is_answered_by_it() {
    let ours = user(&RunId::named(&[1; 16], &[2; 16]));
    let usage = Usage {
        prompt: 9,
        cached: 3,
        cache_written: 4,
        completion: 4,
    };
    let expected = Recorded::Answered {
        text: "Let me look.\n\nI must know.".to_owned(),
        question: Some(QUESTION.to_owned()),
        summary: RunSummary {
            finish: Finish::Stop,
            usage,
        },
    };
    for rows in [&[CALL, RESULT, ASKED][..], &[CALL, RESULT, ASKED, STOPPED]] {
        let rows = [&[&*ours], rows].concat();
        assert_eq!(found(&rows), Ok(Some(expected.clone())), "{rows:?}");
    }
    // It was answered, or refused.
    for later in [RESULT, CALL] {
        assert_eq!(
            found(&[&ours, ASKED, later]),
            Ok(Some(Recorded::Unfinished))
        );
    }
    assert_eq!(
        found(&[&ours, ASKED, RESULT, STOPPED]),
        Ok(Some(Recorded::Aborted))
    );
}

#[test]
fn a_session_holds_a_question_that_ended_its_turn() {
    let shown = format!("I must know.\n\n{QUESTION}");
    for (rows, is_held) in [
        (format!("[{USER},{ASKED}]"), true),
        // The gateway's own row for a call without a result.
        (format!("[{USER},{ASKED},{RESULT}]"), true),
        (format!("[{USER},{ASKED},{STOPPED}]"), true),
        (format!("[{USER},{ASKED},{STOPPED},{STOPPED}]"), true),
        (format!("[{USER},{ASKED},{FAILED}]"), false),
        (format!("[{USER},{ASKED},{RESULT},{DONE}]"), false),
    ] {
        assert_eq!(held(&rows, Some(&shown)), Some(is_held), "{rows}");
    }
}

#[test]
fn a_client_that_left_before_the_question_continues_its_session() {
    let text = "Before I deploy I must know one thing.";
    let asked = ASKED.replace("I must know.", text);
    let stopped = STOPPED.replace("I must know.", text);
    for rows in [
        format!("[{USER},{asked}]"),
        format!("[{USER},{asked},{stopped}]"),
        format!("[{USER},{asked},{RESULT},{stopped}]"),
    ] {
        assert_eq!(held(&rows, Some(text)), Some(true), "{rows}");
        let both = format!("{text}\n\n{QUESTION}");
        assert_eq!(held(&rows, Some(&both)), Some(true), "{rows}");
        assert_eq!(held(&rows, Some("Something else.")), Some(false), "{rows}");
    }
}

#[test]
fn a_question_that_may_be_masked_is_a_run_that_was_stopped() {
    let ours = user(&RunId::named(&[1; 16], &[2; 16]));
    let asked = ASKED.replace("I must know.", "I ***must*** know.");
    assert_eq!(
        found(&[&ours, &asked, STOPPED]),
        Ok(Some(Recorded::Aborted))
    );
}

#[test]
fn each_text_of_a_run_is_without_directives_of_its_own() {
    let ours = user(&RunId::named(&[1; 16], &[2; 16]));
    let open = r#"{"role":"assistant","content":"<think>Hm.</think>Look:\n```\nunfinished","stopReason":"toolUse"}"#;
    let last = DONE.replace(
        "Done.",
        r"[[reply_to_current]]Done.\nMEDIA:/srv/secret/host.png",
    );
    let Ok(Some(Recorded::Answered { text, .. })) = found(&[&ours, open, RESULT, &last]) else {
        panic!("it has an answer");
    };
    assert_eq!(text, "Look:\n```\nunfinished\n\nDone.");
}

#[test]
fn a_run_with_a_row_that_cannot_be_read_has_no_whole_answer() {
    let ours = user(&RunId::named(&[1; 16], &[2; 16]));
    for unread in [
        "7",
        r#"{"role":7,"content":"Let me look.","stopReason":"toolUse"}"#,
        r#"{"role":"assistant","content":"Half \ud83d","stopReason":"toolUse"}"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"Half \ud83d"}],"stopReason":"toolUse"}"#,
        r#"{"role":"assistant","content":7,"stopReason":"toolUse"}"#,
    ] {
        assert_eq!(
            found(&[&ours, unread, DONE]),
            Ok(Some(Recorded::Unreadable)),
            "{unread}"
        );
        assert!(
            matches!(found(&[&ours, DONE, USER, unread]), Ok(Some(_))),
            "{unread}"
        );
    }
    let last = DONE.replace(r#""Done.""#, r#""\ud83d""#);
    assert_eq!(found(&[&ours, &last]), Ok(Some(Recorded::Unreadable)));
}

#[test]
fn a_run_without_an_end_differs_from_one_that_failed_or_was_stopped() {
    let ours = user(&RunId::named(&[1; 16], &[2; 16]));
    for (rows, end) in [
        (vec![&*ours], Recorded::Unfinished),
        (vec![&ours, CALL, RESULT], Recorded::Unfinished),
        (vec![&ours, RECOVERY], Recorded::Unfinished),
        // The next message's answer does not belong to this one.
        (vec![&ours, USER, DONE], Recorded::Unfinished),
        (vec![&ours, FAILED], Recorded::Failed),
        (
            vec![
                &ours,
                r#"{"role":"assistant","content":"D","stopReason":"aborted"}"#,
            ],
            Recorded::Aborted,
        ),
    ] {
        assert_eq!(found(&rows), Ok(Some(end)), "{rows:?}");
    }
}

#[test]
fn a_run_that_is_not_there_is_not_found_and_its_name_with_another_body_is_refused() {
    assert_eq!(found(&[]), Ok(None));
    assert_eq!(
        found(&[USER, ANSWER, "7", &user(&RunId::named(&[3; 16], &[2; 16]))]),
        Ok(None)
    );
    assert_eq!(
        found(&[&user(&RunId::named(&[1; 16], &[9; 16]))]),
        Err(Failure::IdempotencyKeyReused)
    );
    let unnamed = RunId::from_entropy(&[1; 16]);
    assert_eq!(
        recorded(
            Some(&rows_of(&[&user(&RunId::named(&[1; 16], &[9; 16]))])),
            &unnamed
        ),
        Ok(None)
    );
    assert_eq!(recorded(None, &unnamed), Ok(None));
}

#[test]
fn a_session_that_was_never_used_or_was_reset_holds_nothing() {
    let reset = format!(
        r#"[{ANSWER},{{"role":"system","content":"","__openclaw":{{"kind":"reset","seq":1}}}}]"#
    );
    for answer in [None, Some("Hello Ada.")] {
        assert_eq!(held("[]", answer), Some(false));
        assert_eq!(held(&reset, answer), Some(false));
    }
}

#[test]
fn turns_that_failed_or_were_stopped_are_no_answers() {
    for row in [
        r#"{"role":"assistant","content":[],"stopReason":"error"}"#,
        r#"{"role":"assistant","content":"Hel","stopReason":"aborted"}"#,
        r#"{"role":"assistant","content":"Hel","stopReason":"stop","openclawAbort":{"aborted":true}}"#,
        r#"{"role":"toolResult","content":[{"type":"text","text":"Hello"}]}"#,
        r#"{"role":"system","content":"…","__openclaw":{"kind":"compaction"}}"#,
        "7",
    ] {
        let rows = format!("[{ANSWER},{USER},{row}]");
        assert_eq!(held(&rows, Some("Hello Ada.")), Some(true), "{row}");
        assert_eq!(held(&format!("[{row}]"), Some("Hel")), Some(false), "{row}");
    }
}

#[test]
fn rows_that_cannot_be_read_prove_nothing() {
    assert_eq!(holds(None, None), None);
    assert_eq!(
        holds(Some(&RawValue::from_string("7".into()).unwrap()), None),
        None
    );
}

/// Compares rows with the turns that a client shows, the last one first.
fn compared(rows: &serde_json::Value, turns: &[ShownTurn]) -> Held {
    let payload = serde_json::json!({ "messages": rows }).to_string();
    let payload = RawValue::from_string(payload).unwrap();
    compare(Some(&payload), turns, "new").unwrap().held
}

#[test]
fn each_turn_that_both_have_is_compared() {
    let user = |text: &str| serde_json::json!({ "role": "user", "content": text });
    let says = |text: &str| serde_json::json!({ "role": "assistant", "content": text, "stopReason": "stop" });
    let rows = serde_json::json!([user("q1"), says("a1"), user("q2"), says("a2")]);
    let [first, second] = [shown("q1", "a1"), shown("q2", "a2")];
    let turns = |list: &[&ShownTurn]| list.iter().copied().cloned().collect::<Vec<_>>();
    assert_eq!(compared(&rows, &turns(&[&second, &first])), Held::Same);
    assert_eq!(compared(&rows, &turns(&[&second])), Held::Same);
    let older = shown("q0", "a0");
    assert_eq!(
        compared(&rows, &turns(&[&second, &first, &older])),
        Held::Same
    );
    for (message, answer) in [("q", "a1"), ("1", "a1"), ("q1", "a")] {
        let edited = shown(message, answer);
        assert_eq!(
            compared(&rows, &turns(&[&second, &edited])),
            Held::Changed,
            "{message}"
        );
    }
    let folded = "[Chat messages since your last reply - for context]\nUser: q0\nAssistant: a0\nUser: q1\nAssistant: a1\n\n[Current message - respond to this]\nUser: q2";
    let rows = serde_json::json!([user(folded), says("a2")]);
    assert_eq!(
        compared(&rows, &turns(&[&second, &first, &older])),
        Held::Same
    );
    assert_eq!(
        compared(&rows, &turns(&[&second, &shown("edited", "a1")])),
        Held::Changed
    );
    assert_eq!(
        compared(&rows, &turns(&[&second, &older, &first])),
        Held::Changed
    );
}

#[test]
fn a_message_is_the_same_with_documents_before_it_and_without_its_images() {
    let compare = |held: &str, turns: &[ShownTurn]| {
        let rows = serde_json::json!([
            { "role": "user", "content": held },
            { "role": "assistant", "content": "w0", "stopReason": "stop" },
        ]);
        compared(&rows, turns)
    };
    // Open WebUI writes the documents before the latest message only.
    let documents = "### Task:\nRespond to the user query.\n<context>\n<source id=\"1\">x y</source>\n</context>\n\nwhat is y?";
    let folded = format!("Summary\nUser: q0\nAssistant: a0\nUser: {documents}");
    for (held, message, expected) in [
        (documents, "what is y?", Held::Same),
        (documents, "is y?", Held::Changed),
        (documents, "what is x?", Held::Changed),
        ("</context>what is y?", "what is y?", Held::Changed),
        ("what is it?", "what is it?\n[image]", Held::Same),
        ("what is it?", "[image]\nwhat is it?", Held::Same),
        (
            "[image-1.png]\nwhat is it?",
            "[image]\nwhat is it?",
            Held::Same,
        ),
        (
            "User: [image]\nwhat is it?",
            "[image]\nwhat is it?",
            Held::Same,
        ),
        ("User sent image(s) with no text.", "[image]", Held::Same),
        // The answer before it had the same words.
        ("q2", "what is it?\n[image]", Held::Changed),
        ("see [image", "see [image", Held::Same),
        // Words of the user, and an image that was taken out.
        ("[image-1.png] e", "[image-2.png] e", Held::Changed),
        ("[image-a: b] c", "[image-a: d] c", Held::Changed),
        (
            "[image-a: b] c\n[image]",
            "[image-a: d] c\n[image]",
            Held::Changed,
        ),
        ("User: what is it?\n[image]", "what is it?", Held::Changed),
        (
            "### Task:\n<context>\nUser: a\nAssistant: b\n</context>\n\nand?",
            "and?",
            Held::Same,
        ),
    ] {
        let turns = [shown(message, "w0")];
        assert_eq!(compare(held, &turns), expected, "{held} {message}");
    }
    for (message, expected) in [
        ("q0", Held::Same),
        ("q1", Held::Changed),
        // Words of the documents.
        ("x y", Held::Changed),
    ] {
        let turns = [shown("what is y?", "w0"), shown(message, "a0")];
        assert_eq!(compare(&folded, &turns), expected, "{message}");
    }
    for image in ["[image]", "[image-1.png]"] {
        let folded = format!(
            "[Chat messages since your last reply - for context]\nUser: what is it?\n{image}\nAssistant: ![image-7.png](x) a cat\n\n[Current message - respond to this]\nUser: and now?"
        );
        for (message, expected) in [
            ("what is it?\n[image]", Held::Same),
            ("[image]", Held::Same),
            ("what is that?\n[image]", Held::Changed),
        ] {
            let earlier = shown(message, "![image-7.png](x) a cat");
            let turns = [shown("and now?", "w0"), earlier];
            assert_eq!(compare(&folded, &turns), expected, "{image} {message}");
        }
    }
}

#[test]
fn a_session_may_be_ahead_of_what_its_client_got() {
    let user = r#"{"role":"user","content":"q1"}"#;
    let answer =
        r#"{"role":"assistant","content":"a1","stopReason":"stop","__openclaw":{"runId":"r"}}"#;
    let announced = r#"{"role":"assistant","content":"The child is done.","stopReason":"stop","__openclaw":{"runId":"announce:v1:x"}}"#;
    let compacted = r#"{"role":"system","content":"","__openclaw":{"kind":"compaction"}}"#;
    for (rows, expected) in [
        (vec![user, answer], Held::Same),
        (vec![user, answer, announced], Held::Ahead),
        (vec![user, answer, compacted], Held::Ahead),
    ] {
        let rows = serde_json::from_str(&format!("[{}]", rows.join(","))).unwrap();
        assert_eq!(compared(&rows, &[shown("q1", "a1")]), expected, "{rows}");
    }
    // The client got what came later, too: an answer waits for its media.
    for run in ["announce:v1:x", "image_generate:7:ok:agent-loop"] {
        let later = announced.replace("announce:v1:x", run);
        let rows = serde_json::from_str(&format!("[{user},{answer},{later}]")).unwrap();
        let got = shown("q1", "a1\n\nThe child is done.");
        assert_eq!(compared(&rows, &[got]), Held::Same, "{rows}");
        assert_eq!(compared(&rows, &[shown("q1", "a1")]), Held::Ahead, "{rows}");
    }
}

#[test]
fn a_turn_that_goes_on_after_its_question_is_open() {
    let call = r#"{"role":"assistant","content":[{"type":"toolCall","name":"exec","arguments":{"command":"ls"}}],"stopReason":"toolUse","timestamp":5}"#;
    for rows in [
        format!("[{USER},{call}]"),
        format!("[{USER},{ASKED},{RESULT},{call}]"),
    ] {
        let payload = RawValue::from_string(format!(r#"{{"messages":{rows}}}"#)).unwrap();
        let content = compare(Some(&payload), &[shown("q0", "a0")], "new").unwrap();
        assert_eq!(content.open_at_ms, Some(5), "{rows}");
    }
}

#[test]
fn a_session_with_short_texts_and_a_file_is_the_clients() {
    let says = |text: &str, run: &str| {
        serde_json::json!({
            "role": "assistant", "content": text, "stopReason": "stop",
            "__openclaw": { "runId": run },
        })
    };
    let user = serde_json::json!({ "role": "user", "content": "q1" });
    let wake = serde_json::json!({
        "role": "user", "content": "done", "provenance": { "kind": "inter_session" },
    });
    let rows = serde_json::json!([
        user,
        says("Making it.", "r"),
        wake,
        says(
            "Here it is.\nMEDIA:/srv/red.png",
            "image_generate:7:ok:agent-loop"
        ),
    ]);
    let got = shown(
        "q1",
        "Making it.\n\nHere it is.\n\n![red.png](https://front.test/f/1)",
    );
    assert_eq!(compared(&rows, &[got]), Held::Same);
}
