use serde_json::Value;

use super::*;

/// A stream in the background that is going.
const STREAMED: Stored<'static> = Stored {
    until_ms: 0,
    keeping: Keeping::Background,
    is_stream: true,
    run: "run-1",
    items: "chain1",
    is_call: false,
};

/// A whole response in the background that is going.
const WHOLE: Stored<'static> = Stored {
    is_stream: false,
    ..STREAMED
};

/// A response that is stored after its end.
const AFTER_END: Stored<'static> = Stored {
    until_ms: 1_795_374_174_000,
    keeping: Keeping::Stored,
    ..WHOLE
};

const IN_PROGRESS: &str = r#"{"id":"resp_1","object":"response","created_at":1795374174,"completed_at":null,"status":"in_progress","error":null,"incomplete_details":null,"model":"main","previous_response_id":"resp_0","output":[],"usage":null,"metadata":{"a":"b"},"store":true}"#;

/// Returns the parameter and the message of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, Failure>) -> (String, String) {
    match result {
        Err(Failure::InvalidRequest {
            param: Some(param),
            message,
        }) => (param, message.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_row_is_read_as_it_was_written() {
    let call = Stored {
        is_call: true,
        ..STREAMED
    };
    for (stored, row) in [
        (STREAMED, "0\tstream\trun-1\tchain1\t"),
        (WHOLE, "0\tbackground\trun-1\tchain1\t"),
        (AFTER_END, "1795374174000\tstored\trun-1\tchain1\t"),
        (call, "0\tstream\trun-1\tchain1\tcall"),
    ] {
        assert_eq!(stored.row(), row);
        assert_eq!(Stored::read(row), Some(stored));
    }
    assert!(STREAMED.is_going() && !AFTER_END.is_going());
    // The events of a stream that is only stored are not kept.
    let streamed = Stored {
        is_stream: true,
        ..AFTER_END
    };
    assert_eq!(streamed.row(), AFTER_END.row());
}

#[test]
fn a_row_of_another_version_is_no_response() {
    for row in [
        "",
        "0",
        "0\tstream",
        "0\tstream\trun-1",
        "0\tstream\trun-1\tchain1",
        "\tstream\trun-1\tchain1\t",
        "-1\tstream\trun-1\tchain1\t",
        "soon\tstream\trun-1\tchain1\t",
        "0\tqueued\trun-1\tchain1\t",
        "0\t\trun-1\tchain1\t",
        "0\tstream\trun-1\tchain1\ttool",
    ] {
        assert_eq!(Stored::read(row), None, "{row}");
    }
    // A later version may add fields.
    assert_eq!(
        Stored::read("0\tstream\trun-1\tchain1\t\tmore"),
        Some(STREAMED)
    );
}

#[test]
fn a_request_without_a_stream_wants_the_object() {
    for query in [
        "",
        "stream",
        "stream=",
        "stream=yes",
        "stream=false",
        "stream=True",
        "starting_after=1",
        "starting_after=abc",
        "include=x&stream=false&starting_after=1",
    ] {
        for stored in [STREAMED, WHOLE, AFTER_END] {
            assert_eq!(stored.events_wanted(query), Ok(None), "{query}");
        }
    }
}

#[test]
fn a_request_for_a_stream_wants_the_events_after_its_number() {
    for (query, last) in [
        ("stream=true", None),
        ("stream=%74rue", None),
        ("stream=true&starting_after=0", Some(0)),
        ("starting_after=7&stream=true&include=x", Some(7)),
        ("stream=true&starting_after=-1", None),
        ("stream=true&starting_after=-9223372036854775808", None),
        (
            "stream=true&starting_after=9223372036854775807",
            Some(u32::MAX),
        ),
    ] {
        let wanted = STREAMED.events_wanted(query);
        assert_eq!(wanted, Ok(Some(Events { last })), "{query}");
    }
    for value in ["abc", "1.5", "", "1 ", "9223372036854775808", "%31x"] {
        let query = format!("stream=true&starting_after={value}");
        let (param, message) = refusal(STREAMED.events_wanted(&query));
        assert_eq!(param, "starting_after");
        assert_eq!(message, "starting_after must be an integer.", "{value}");
    }
}

#[test]
fn only_a_stream_in_the_background_can_be_streamed_again() {
    for query in [
        "stream=true",
        "stream=true&starting_after=3",
        "stream=true&starting_after=abc",
    ] {
        for (stored, field) in [(AFTER_END, "background"), (WHOLE, "stream")] {
            let (param, message) = refusal(stored.events_wanted(query));
            let expected = format!(
                "This response cannot be streamed because it was not created with {field}=true."
            );
            assert_eq!((param.as_str(), message), ("stream", expected));
        }
    }
}

#[test]
fn events_begin_after_a_cursor() {
    for is_going in [false, true] {
        for last in [None, Some(0), Some(1), Some(2), Some(3)] {
            assert_eq!(Events { last }.after(Some(3), is_going), Ok(last));
        }
    }
}

#[test]
fn a_cursor_beyond_the_events_is_refused_while_others_follow() {
    for last in [4, 5, u32::MAX] {
        let wanted = Events { last: Some(last) };
        assert_eq!(wanted.after(Some(3), false), Ok(Some(last)));
        let (param, message) = refusal(wanted.after(Some(3), true));
        assert_eq!(param, "starting_after");
        assert_eq!(message, "The response has no event with this number yet.");
    }
}

#[test]
fn events_that_are_not_stored_are_refused_with_the_reason() {
    let (param, message) = refusal::<()>(Err(unstored_events()));
    assert_eq!(param, "stream");
    assert_eq!(
        message,
        "The events of this response are not stored, because there were too many. Retrieve it \
         without `stream`."
    );
}

#[test]
fn a_stream_whose_key_is_not_valid_ends_with_an_error_that_has_no_number() {
    let event = expired_event();
    assert!(
        event.starts_with("event: error\ndata: {\"type\":\"error\",\"code\":\"api_key_expired\"")
    );
    assert!(event.ends_with("}\n\n"));
    assert!(!event.contains("sequence_number"));
}

/// The items of an input: `count` of them, with the ids `i0`, `i1`, …
fn items(count: usize) -> String {
    let item = |number| format!("{{\"id\":\"i{number}\",\"n\":{number}}}\n");
    (0..count).map(item).collect()
}

/// Returns the page as bytes: the items with these numbers.
fn page(numbers: &[usize], has_more: bool) -> String {
    let list: Vec<String> = numbers
        .iter()
        .map(|number| format!(r#"{{"id":"i{number}","n":{number}}}"#))
        .collect();
    let id = |number: Option<&usize>| {
        number.map_or("null".to_owned(), |number| format!(r#""i{number}""#))
    };
    format!(
        r#"{{"object":"list","data":[{}],"first_id":{},"last_id":{},"has_more":{has_more}}}"#,
        list.join(","),
        id(numbers.first()),
        id(numbers.last())
    )
}

fn listed(count: usize, query: &str) -> String {
    String::from_utf8(input_items(&items(count), query).unwrap()).unwrap()
}

#[test]
fn the_input_is_listed_from_its_last_item_or_from_its_first() {
    assert_eq!(listed(3, ""), page(&[2, 1, 0], false));
    assert_eq!(listed(3, "order=desc"), page(&[2, 1, 0], false));
    assert_eq!(listed(3, "order=asc&include=x"), page(&[0, 1, 2], false));
    assert_eq!(listed(0, "order=asc&limit=1"), page(&[], false));
    for order in ["", "ASC", "up"] {
        let (param, message) = refusal(input_items(&items(3), &format!("order={order}")));
        assert_eq!(param, "order");
        assert_eq!(message, "order must be `asc` or `desc`.");
    }
}

#[test]
fn a_page_has_as_many_items_as_its_limit() {
    let first = |count: usize| (0..count).collect::<Vec<_>>();
    for (count, query, expected, has_more) in [
        (20, "order=asc", 20, false),
        (21, "order=asc", 20, true),
        (2, "order=asc&limit=1", 1, true),
        (1, "order=asc&limit=1", 1, false),
        (100, "order=asc&limit=100", 100, false),
        (101, "order=asc&limit=100", 100, true),
        (3, "limit=%33&order=asc", 3, false),
    ] {
        assert_eq!(listed(count, query), page(&first(expected), has_more));
    }
    for limit in ["0", "101", "-1", "1.5", "abc", ""] {
        let (param, message) = refusal(input_items(&items(3), &format!("limit={limit}")));
        assert_eq!(param, "limit");
        assert_eq!(message, "limit must be a number from 1 to 100.");
    }
}

#[test]
fn a_page_goes_on_after_an_item() {
    for (query, numbers, has_more) in [
        ("order=asc&after=i0", &[1, 2, 3][..], false),
        ("order=asc&after=i0&limit=2", &[1, 2], true),
        ("order=asc&after=i1&limit=2", &[2, 3], false),
        ("order=asc&after=i3", &[], false),
        ("after=i3", &[2, 1, 0], false),
        ("after=i2&limit=1", &[1], true),
        ("after=%69%31&limit=1", &[0], false),
        ("after=i0", &[], false),
    ] {
        assert_eq!(listed(4, query), page(numbers, has_more), "{query}");
    }
    for (count, after) in [(4, "i4"), (4, ""), (0, "i0")] {
        let (param, message) = refusal(input_items(&items(count), &format!("after={after}")));
        assert_eq!(param, "after");
        assert_eq!(message, "The input has no item with this id.");
    }
}

/// A client goes through all pages, in both orders, and sees each item once.
#[test]
fn pages_have_each_item_once() {
    for order in ["asc", "desc"] {
        for limit in 1..6 {
            let (mut seen, mut query) = (Vec::new(), format!("order={order}&limit={limit}"));
            loop {
                let page: Value = serde_json::from_str(&listed(5, &query)).unwrap();
                let numbers = page["data"].as_array().unwrap().iter();
                seen.extend(numbers.map(|item| item["n"].as_u64().unwrap()));
                if page["has_more"] == false {
                    break;
                }
                let last = page["last_id"].as_str().unwrap();
                query = format!("order={order}&limit={limit}&after={last}");
            }
            if order == "desc" {
                seen.reverse();
            }
            assert_eq!(seen, [0, 1, 2, 3, 4]);
        }
    }
}

#[test]
fn a_response_is_said_to_be_deleted() {
    assert_eq!(
        String::from_utf8(deleted("resp_1")).unwrap(),
        r#"{"id":"resp_1","object":"response.deleted","deleted":true}"#
    );
}

/// The object of a response whose run is not known, and the message in it.
fn lost_object(output: &str) -> (String, String) {
    let message = ErrorResponse::of(&Failure::HubLost).body.message;
    let message = serde_json::to_string(&message).unwrap();
    let error = format!(r#""status":"failed","error":{{"code":"hub_lost","message":{message}}}"#);
    let object = IN_PROGRESS
        .replace(r#""status":"in_progress","error":null"#, &error)
        .replace(r#""output":[]"#, &format!(r#""output":[{output}]"#));
    (object, message)
}

#[test]
fn a_response_whose_run_is_not_known_has_failed() {
    let writer = WHOLE.writer(IN_PROGRESS, "").unwrap();
    let lost = writer.lose(7, "run-1").unwrap();
    assert_eq!(lost.row, "7\tbackground\trun-1\tchain1\t");
    assert_eq!(lost.object, lost_object("").0);
    assert_eq!(lost.events, "");
}

#[test]
fn a_stream_whose_run_is_not_known_ends_after_its_last_event() {
    let written = concat!(
        "event: response.created\ndata: ",
        r#"{"type":"response.created","sequence_number":0,"response":{}}"#,
        "\n\nevent: response.output_text.delta\ndata: ",
        r#"{"type":"response.output_text.delta","sequence_number":1,"delta":"w0"}"#,
        "\n\n"
    );
    let writer = STREAMED.writer(IN_PROGRESS, written).unwrap();
    let lost = writer.lose(7, "run-1").unwrap();
    assert_eq!(lost.row, "7\tstream\trun-1\tchain1\t");
    let (object, message) = lost_object(
        r#"{"id":"msg_chain1_0","type":"message","role":"assistant","status":"incomplete","content":[{"type":"output_text","text":"w0","annotations":[],"logprobs":[]}]}"#,
    );
    assert_eq!(lost.object, object);
    let body = ErrorResponse::of(&Failure::HubLost).body;
    let body = serde_json::to_string(&body).unwrap();
    assert_eq!(
        lost.events,
        format!(
            "event: error\ndata: {{\"type\":\"error\",\"sequence_number\":2,\"code\":\"hub_lost\",\
             \"message\":{message},\"param\":null,\"error\":{body}}}\n\n\
             event: response.failed\ndata: {{\"type\":\"response.failed\",\"sequence_number\":3,\
             \"response\":{object}}}\n\n"
        )
    );
    let whole = [written, &lost.events].concat();
    assert_eq!(
        resume::State::of(&whole).map(|state| state.sequence),
        Some(4)
    );
}

/// Its events would begin with the end.
#[test]
fn a_stream_whose_events_are_not_stored_ends_without_any() {
    let writer = STREAMED.writer(IN_PROGRESS, "").unwrap();
    let lost = writer.lose(7, "run-1").unwrap();
    assert_eq!(
        (lost.object, lost.events),
        (lost_object("").0, String::new())
    );
}
