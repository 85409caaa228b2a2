use crate::frames::Protocol::{V3, V4};
use crate::frames::{self, Protocol};
use crate::{CASES, keys, runs};

#[test]
fn every_case_can_be_run_again_and_writes_the_same() {
    for case in CASES {
        let mut stage = (case.stage)();
        let (first, second) = (stage()(), stage()());
        assert_eq!(first, second, "{case}");
        assert_eq!(first == 0, case.name.ends_with("dropped"), "{case}");
        // A delta is a chunk of more bytes than that.
        let chunks = if case.name.contains("agent event") && first > 0 {
            case.steps
        } else {
            0
        };
        assert!(first >= 100 * chunks as usize, "{case}: {first} bytes");
    }
}

#[test]
fn no_two_cases_have_one_name() {
    for (nth, case) in CASES.iter().enumerate() {
        assert!(
            CASES
                .iter()
                .skip(nth + 1)
                .all(|other| other.name != case.name),
            "{case}"
        );
        assert!(
            !case.name.contains(['"', '\\']),
            "{case}: it stands in JSON"
        );
    }
}

/// Returns the bytes that a hub writes to its client and to the gateway.
fn written(protocol: Protocol, deltas: usize) -> (String, Vec<String>) {
    let config = keys::config();
    let mut hub = runs::hub(config);
    let (mut body, mut sent) = (Vec::new(), Vec::new());
    runs::feed(&mut hub, &runs::all(protocol, deltas), config, |out| {
        body.extend_from_slice(&out.body);
        sent.extend(out.frames.iter().cloned());
    });
    (String::from_utf8(body).unwrap(), sent)
}

#[test]
fn a_whole_run_is_one() {
    for (protocol, requests) in [(V3, 2), (V4, 3)] {
        let (body, sent) = written(protocol, 100);
        assert_eq!(sent.len(), requests, "{protocol:?}");
        assert!(
            sent.last().unwrap().contains(frames::RUN_ID),
            "{protocol:?}"
        );
        assert!(body.ends_with("data: [DONE]\n\n"), "{protocol:?}: {body}");
        assert_eq!(
            body.matches(r#""content":" w"#).count(),
            99,
            "{protocol:?}: {body}"
        );
        assert!(
            body.contains(r#""finish_reason":"stop""#),
            "{protocol:?}: {body}"
        );
    }
}

#[test]
fn hello_is_as_large_as_recorded() {
    assert!(frames::hello(V4).len() > 16_000);
    assert!(frames::hello(V3).len() > 6_000);
}
