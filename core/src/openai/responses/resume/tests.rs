use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::openai::Delivery;
use crate::openai::responses::writer::ResponsesWriter;
use crate::openai::responses::{Echo, Ids, Keeping, ResponseFields, Stored};
use crate::turn::{Finish, RunSummary, Usage};

const STREAM: Delivery = Delivery::Stream {
    include_usage: true,
};

const SUMMARY: RunSummary = RunSummary {
    finish: Finish::Stop,
    usage: Usage {
        prompt: 11,
        cached: 1,
        cache_written: 0,
        completion: 2,
    },
};

/// The times of the end, which differ in the last digit.
const ENDED_S: u64 = 1_795_374_181;
const LATER_S: u64 = 1_795_374_182;

fn row(delivery: Delivery) -> Stored<'static> {
    Stored {
        until_ms: 0,
        keeping: Keeping::Background,
        is_stream: delivery.is_stream(),
        run: "run",
        items: "1",
        is_call: false,
    }
}

fn writer(delivery: Delivery) -> ResponsesWriter {
    let ids = Ids {
        response: "resp_1".into(),
        items: "1".into(),
    };
    let fields = ResponseFields {
        unnamed_ids: ids.clone(),
        branch_ids: None,
        ids,
        previous: Some("resp_0".into()),
        model: r#"a,"metadata":"b"#.into(),
        created_s: 1_795_374_174,
        echo: Echo {
            metadata: br#"{"a":",\"metadata\":"}"#.to_vec(),
            safety_identifier: Some("s".into()),
            prompt_cache_key: Some("k".into()),
            text_format: Some(r#"{"type":"json_object"}"#.into()),
        },
        keeping: Keeping::Background,
    };
    ResponsesWriter::new(delivery, fields)
}

/// A piece of the run's output.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Output {
    Text(String),
    Thought(String),
}

/// Writes the pieces. Returns the places in the stream at which a record of it may end: after the
/// beginning, and after each piece, because a block has whole pieces.
fn write(writer: &mut ResponsesWriter, pieces: &[Output], out: &mut Vec<u8>) -> Vec<usize> {
    let mut ends = vec![out.len()];
    for piece in pieces {
        match piece {
            Output::Text(text) => writer.text(text, out),
            Output::Thought(thought) => writer.thought(thought, out),
        }
        ends.push(out.len());
    }
    ends
}

fn text_of(pieces: &[Output]) -> String {
    let texts = pieces.iter().map(|piece| match piece {
        Output::Text(text) => text.as_str(),
        Output::Thought(_) => "",
    });
    texts.collect()
}

/// Splits a text at these places, as well as it can be.
fn split(text: &str, places: &[prop::sample::Index]) -> Vec<Output> {
    let chars: Vec<char> = text.chars().collect();
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place.index(chars.len().saturating_add(1)))
        .collect();
    places.extend([0, chars.len()]);
    places.sort_unstable();
    places.dedup();
    let pieces = places.windows(2).map(|ends| &chars[ends[0]..ends[1]]);
    pieces
        .map(|piece| Output::Text(piece.iter().collect()))
        .collect()
}

/// Returns the first ones: none, some or all.
fn first_of(pieces: &[Output], end: prop::sample::Index) -> &[Output] {
    &pieces[..end.index(pieces.len().saturating_add(1))]
}

fn piece() -> impl Strategy<Value = Output> {
    let text = "[ab \n\\\\\"ü\u{2028}\u{1f600}]{1,4}";
    prop_oneof![
        3 => text.prop_map(Output::Text),
        1 => text.prop_map(Output::Thought),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Output>> {
    prop::collection::vec(piece(), 0..8)
}

fn places() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

/// A stream, read as a client reads it.
#[derive(Debug)]
struct Read {
    events: Vec<Value>,
}

impl Read {
    /// Reads a stream. Each event has a name and one line of data, and the numbers rise by one.
    fn of(stream: &str) -> Self {
        let mut events = Vec::new();
        for (number, event) in stream.split_terminator("\n\n").enumerate() {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
            assert_eq!(data["sequence_number"], number, "{stream}");
            events.push(data);
        }
        Self { events }
    }

    fn count(&self, name: &str) -> usize {
        let events = self.events.iter();
        events.filter(|event| event["type"] == name).count()
    }

    /// Returns the response's object of the last event, which is the only one that ends a stream.
    fn ended(&self) -> &Value {
        let is_end = |event: &&Value| {
            let name = event["type"].as_str().unwrap();
            let names = ["completed", "incomplete", "failed"];
            names.contains(&name.strip_prefix("response.").unwrap_or_default())
        };
        assert_eq!(self.events.iter().filter(is_end).count(), 1);
        let last = self.events.last().unwrap();
        assert!(is_end(&last), "{last}");
        &last["response"]
    }

    /// Checks that the events of the items are those of the last object: each item begins once, its
    /// deltas are its text, and it ends once. Returns the answer's deltas.
    fn deltas(&self) -> String {
        let output = self.ended()["output"].as_array().unwrap();
        let mut deltas = String::new();
        let mut open: Option<(usize, String)> = None;
        let mut begun: usize = 0;
        for event in &self.events {
            let name = event["type"].as_str().unwrap();
            let Some(index) = event["output_index"].as_u64() else {
                continue;
            };
            let index = usize::try_from(index).unwrap();
            let item = &output[index];
            match name {
                "response.output_item.added" => {
                    assert_eq!((index, &open), (begun, &None));
                    assert_eq!(event["item"]["id"], item["id"]);
                    open = Some((index, String::new()));
                    begun = begun.saturating_add(1);
                }
                "response.output_item.done" => {
                    let (number, text) = open.take().unwrap();
                    assert_eq!((number, &event["item"]), (index, item));
                    assert_eq!(item["content"][0]["text"], text);
                }
                _ => {
                    let (number, text) = open.as_mut().unwrap();
                    assert_eq!((*number, &event["item_id"]), (index, &item["id"]));
                    text.push_str(event["delta"].as_str().unwrap_or_default());
                    if name == "response.output_text.delta" {
                        deltas.push_str(event["delta"].as_str().unwrap());
                    }
                }
            }
        }
        assert_eq!((begun, open), (output.len(), None));
        deltas
    }
}

/// Returns the text of an object's messages.
fn output_text(object: &Value) -> String {
    let items = object["output"].as_array().unwrap().iter();
    let messages = items.filter(|item| item["type"] == "message");
    let texts = messages.map(|item| item["content"][0]["text"].as_str().unwrap());
    texts.collect()
}

/// A stream that is cut, and goes on from its record.
struct Resumed {
    /// The object of the response in progress, which is stored.
    object: String,
    record: String,
    /// The text in the record.
    written: String,
}

impl Resumed {
    /// Writes a stream and cuts it after the beginning or a piece.
    fn cut(pieces: &[Output], cut: prop::sample::Index) -> Self {
        let mut first = writer(STREAM);
        let object = first.object();
        let mut out = Vec::new();
        first.begin(&mut out);
        let ends = write(&mut first, pieces, &mut out);
        let place = cut.index(ends.len());
        let record = String::from_utf8(out[..ends[place]].to_vec()).unwrap();
        Self {
            object,
            record,
            written: text_of(&pieces[..place]),
        }
    }

    fn writer(&self) -> ResponsesWriter {
        row(STREAM).writer(&self.object, &self.record).unwrap()
    }

    /// Takes these pieces on the next hub, which is lost, too.
    fn go_on(&mut self, pieces: &[Output]) {
        let mut out = Vec::new();
        write(&mut self.writer(), pieces, &mut out);
        self.record += std::str::from_utf8(&out).unwrap();
    }

    /// Takes these pieces and the end on the next hub.
    fn end(mut self, pieces: &[Output]) -> Read {
        let mut writer = self.writer();
        let mut out = Vec::new();
        write(&mut writer, pieces, &mut out);
        writer.finish(&SUMMARY, LATER_S, &mut out);
        self.record += std::str::from_utf8(&out).unwrap();
        let read = Read::of(&self.record);
        let ended: Value = serde_json::from_str(&writer.take_ended().unwrap()).unwrap();
        assert_eq!(&ended, read.ended());
        read
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However often the hub is lost, and however the text is split: a client reads one stream.
    #[test]
    fn a_stream_goes_on_where_its_record_ends(
        pieces in pieces(),
        cut in any::<prop::sample::Index>(),
        places in places(),
        second_cut in any::<prop::sample::Index>(),
        second_places in places(),
    ) {
        let text = text_of(&pieces);
        let mut resumed = Resumed::cut(&pieces, cut);
        let before = Read::of(&resumed.record).events;
        let again = split(&text, &places);
        resumed.go_on(first_of(&again, second_cut));
        let read = resumed.end(&split(&text, &second_places));
        prop_assert_eq!(&read.events[..before.len()], before);
        prop_assert_eq!(read.count("response.created"), 1);
        prop_assert_eq!(read.count("response.completed"), 1);
        prop_assert_eq!(read.count("error"), 0);
        prop_assert_eq!(&read.deltas(), &text);
        prop_assert_eq!(&output_text(read.ended()), &text);
    }

    /// A stream cannot take back its words: its last object has the new ones.
    #[test]
    fn another_text_is_one_error_and_the_last_object_has_it(
        pieces in pieces(),
        cut in any::<prop::sample::Index>(),
        other in "[abü]{0,8}",
        places in places(),
        second_cut in any::<prop::sample::Index>(),
    ) {
        let mut resumed = Resumed::cut(&pieces, cut);
        prop_assume!(!other.starts_with(&resumed.written));
        let before = Read::of(&resumed.record).events.len();
        let again = split(&other, &places);
        resumed.go_on(first_of(&again, second_cut));
        let read = resumed.end(&again);
        let after = &read.events[before..];
        prop_assert_eq!(&after[0]["type"], "error");
        prop_assert_eq!(&after[0]["code"], "answer_lost");
        prop_assert_eq!(&after[1]["type"], "response.completed");
        prop_assert_eq!(after.len(), 2);
        prop_assert_eq!(&output_text(read.ended()), &other);
    }

    #[test]
    fn a_record_that_lacks_an_event_is_not_continued(
        pieces in pieces(),
        missing in any::<prop::sample::Index>(),
    ) {
        let mut whole = Vec::new();
        let mut first = writer(STREAM);
        first.begin(&mut whole);
        write(&mut first, &pieces, &mut whole);
        let whole = String::from_utf8(whole).unwrap();
        let mut events: Vec<&str> = whole.split_inclusive("\n\n").collect();
        prop_assert!(State::of(&whole).is_some());
        // Nothing shows that the last one is missing.
        events.remove(missing.index(events.len().saturating_sub(1)));
        prop_assert!(State::of(&events.concat()).is_none());
    }

    #[test]
    fn an_object_does_not_show_that_its_hub_was_lost(
        pieces in pieces(),
        places in places(),
        is_stream in any::<bool>(),
    ) {
        let delivery = if is_stream { STREAM } else { Delivery::Whole };
        let text = text_of(&pieces);
        let mut uncut = writer(delivery);
        let object = uncut.object();
        let mut events = Vec::new();
        uncut.begin(&mut events);
        write(&mut uncut, &[Output::Text(text.clone())], &mut events);
        uncut.finish(&SUMMARY, ENDED_S, &mut Vec::new());
        let events = if is_stream { events } else { Vec::new() };
        let events = String::from_utf8(events).unwrap();
        let mut resumed = row(delivery).writer(&object, &events).unwrap();
        prop_assert_eq!(&resumed.object(), &object);
        let mut out = Vec::new();
        write(&mut resumed, &split(&text, &places), &mut out);
        resumed.finish(&SUMMARY, LATER_S, &mut out);
        let expected = uncut.take_ended().unwrap();
        let expected = expected.replace(&ENDED_S.to_string(), &LATER_S.to_string());
        prop_assert_eq!(&resumed.take_ended().unwrap(), &expected);
        if !is_stream {
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

#[test]
fn a_record_that_is_no_list_of_events_is_not_continued() {
    for record in [
        "data: {}\n\n",
        "data: \n\n",
        "event: x\ndata: {\"type\":\"x\",\"sequence_number\":1}\n\n",
        "event: x\ndata: {\"type\":\"x\",\"sequence_number\":0,\"delta\":7}\n\n",
    ] {
        assert!(State::of(record).is_none(), "{record}");
    }
    let object = writer(STREAM).object();
    assert!(row(STREAM).writer("{}", "").is_none());
    assert!(row(STREAM).writer(&object, "data: {}\n\n").is_none());
    let unnamed = object.replace(r#""model":"#, r#""other":"#);
    assert!(row(STREAM).writer(&unnamed, "").is_none());
}
