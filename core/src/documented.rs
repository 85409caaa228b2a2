//! The numbers in documents are those of the code: each sentence here is built from its constants,
//! and has to stand in its document.
//!
//! The table of limits in docs/reliability.md is compared as a whole, so that no number gets into
//! it without its constant.

use std::collections::BTreeSet;

use crate::access::places::{
    MAX_BODIES_BYTES, MAX_BODIES_BYTES_OF_KEY, MAX_PLACES, UNCOUNTED_BODY_BYTES,
};
use crate::access::policy::DEFAULT_KEEP_ALIVE_S;
use crate::access::throttle::{MAX_FAILED_ATTEMPTS, MAX_LOGGED_STRANGERS};
use crate::config;
use crate::config::LINK_IDLE_S;
use crate::exchange::connection::{MAX_CONNECTIONS, RECONNECT_MS};
use crate::exchange::heartbeat::HEARTBEAT_MS;
use crate::exchange::leave::LEAVE_MS;
use crate::exchange::{ACCEPTANCE_MS, HANDSHAKE_MS, RUN_MS};
use crate::failure::Failure;
use crate::failure::diagnosis::Diagnosis;
use crate::gateway::answer::MAX_ANSWER_BYTES;
use crate::gateway::link::MAX_FRAME_BYTES;
use crate::http::upload::{BYTES_PER_SECOND, STALL_MS, START_MS};
use crate::http::{coding, head};
use crate::hub::speech::{MAX_AUDIO_BYTES, MAX_SPEECHES, SPEECH_MS};
use crate::hub::{MAX_WAITING, SILENCE_MS};
use crate::openai::MAX_BODY_BYTES;
use crate::openai::error::ErrorResponse;
use crate::openai::file::{MAX_FILE_BYTES, MAX_FILES, MAX_NAME_BYTES};
use crate::openai::image::{MAX_IMAGE_BYTES, MAX_IMAGES};
use crate::openai::json::bounds::{MAX_JSON_DEPTH, MAX_JSON_VALUES};
use crate::openai::speech::MAX_INPUT_UNITS;
use crate::openai::stop::{MAX_SEQUENCE_BYTES, MAX_SEQUENCES};
use crate::repeat::SENT_MS;

/// Constants of the Worker itself, as its source writes them, because it is no crate that a test
/// could use.
const UNREAD_MIB: usize = 1;
const CONNECT_S: u64 = 10;
const USAGE_S: u64 = 5;
const USAGE_DAYS: u64 = 92;

fn mib(bytes: usize) -> usize {
    assert_eq!(bytes % (1024 * 1024), 0);
    bytes / (1024 * 1024)
}

fn s(ms: u64) -> u64 {
    assert_eq!(ms % 1000, 0);
    ms / 1000
}

fn h(ms: u64) -> u64 {
    assert_eq!(ms % 3_600_000, 0);
    ms / 3_600_000
}

const UNCOUNTED_KIB: usize = UNCOUNTED_BODY_BYTES / 1024;
const RATE_KIB: u64 = BYTES_PER_SECOND / 1024;

#[test]
fn the_table_of_limits_is_the_codes() {
    let rows = [
        format!(
            "request body | {} MiB, counted while it is read and again when it is decoded",
            mib(MAX_BODY_BYTES)
        ),
        format!("depth of JSON | {MAX_JSON_DEPTH} levels"),
        format!("commas and opening brackets of JSON | {MAX_JSON_VALUES}, outside texts"),
        format!("a frame of the gateway | {} MiB", mib(MAX_FRAME_BYTES)),
        format!("an answer | {} MiB", mib(MAX_ANSWER_BYTES)),
        format!("unread bytes of one client | {UNREAD_MIB} MiB"),
        format!(
            "requests for a run at a time | {MAX_PLACES} in the hub, from before their bodies \
             are read"
        ),
        "requests of a key at a time | its `runs=`, and never more than it leaves free".to_owned(),
        format!(
            "bytes of request bodies at a time | {} MiB in the hub; of one key no more than it \
             leaves free, {} MiB at most",
            mib(MAX_BODIES_BYTES),
            mib(MAX_BODIES_BYTES_OF_KEY)
        ),
        format!("bytes of a body that are not counted there | the first {UNCOUNTED_KIB} KiB"),
        format!(
            "time for a request body | {} s, and one more for each {RATE_KIB} KiB; {} s between \
             two pieces",
            s(START_MS),
            s(STALL_MS)
        ),
        format!("a connection to the gateway | {CONNECT_S} s: `gateway_connect_timeout`"),
        format!(
            "the handshake, with the connection | {} s: `gateway_handshake_timeout`",
            s(HANDSHAKE_MS)
        ),
        format!(
            "the acceptance of a run | {} s: `gateway_acceptance_timeout`",
            s(ACCEPTANCE_MS)
        ),
        format!(
            "runs that wait for other runs to end, with `GATEWAY_RUNS` | {MAX_WAITING}; of one key \
             no more than it leaves free"
        ),
        format!("silence of the gateway | {} s", s(SILENCE_MS)),
        format!(
            "a lost connection | is opened again within {} s, {MAX_CONNECTIONS} attempts for a run in all",
            s(RECONNECT_MS)
        ),
        format!("an unused connection to the gateway | {LINK_IDLE_S} s, or `LINK_IDLE`"),
        format!("a run | {} h: `run_timeout`", h(RUN_MS)),
    ];
    let document = include_str!("../../docs/reliability.md");
    let (_, section) = document.split_once("\n## Limits\n").unwrap();
    let documented: BTreeSet<&str> = section
        .lines()
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches(['|', ' ']))
        .collect();
    assert_eq!(documented, rows.iter().map(String::as_str).collect());
}

#[test]
fn the_workers_own_limits_are_those_that_are_documented() {
    for (source, line) in [
        (
            include_str!("../../src/hub/relay/body.rs"),
            "const MAX_BUFFERED_BYTES: u32 = 1024 * 1024;".to_owned(),
        ),
        (
            include_str!("../../src/hub/store.js"),
            format!("const USAGE_MS = {USAGE_S}_000;"),
        ),
        (
            include_str!("../../src/hub/store.js"),
            format!("const USAGE_DAYS = {USAGE_DAYS};"),
        ),
        (
            include_str!("../../src/runtime/upgrade.rs"),
            format!("const CONNECT_TIMEOUT: Duration = Duration::from_secs({CONNECT_S});"),
        ),
    ] {
        assert!(source.contains(&line), "{line}");
    }
}

/// Asserts that a document has sentences, which are made from the constants of the code.
fn assert_sentences<const N: usize>(document: &str, sentences: [String; N]) {
    for sentence in sentences {
        assert!(document.contains(&sentence), "no document says: {sentence}");
    }
}

#[test]
fn sentences_of_reliability_with_numbers_are_the_codes() {
    assert_sentences(
        include_str!("../../docs/reliability.md"),
        [
            format!("`: ping` every {} s in a stream", s(HEARTBEAT_MS)),
            format!(
                "a whole answer is a 200 after {DEFAULT_KEEP_ALIVE_S} s (`keep_alive` of its \
                 key), then a blank line every {} s",
                s(HEARTBEAT_MS)
            ),
            format!(
                "while the connection to the gateway is lost, within {} s",
                s(LEAVE_MS)
            ),
            format!("the gateway is silent for {} s", s(SILENCE_MS)),
            format!("within {} s of one whose answer was sent", s(SENT_MS)),
            format!("bodies up to {UNCOUNTED_KIB} KiB are served"),
        ],
    );
}

#[test]
fn sentences_of_errors_with_numbers_are_the_codes() {
    assert_sentences(
        include_str!("../../docs/errors.md"),
        [
            format!("the body is larger than {} MiB", mib(MAX_BODY_BYTES)),
            format!(
                "stalled for {} s, or came more slowly than {RATE_KIB} KiB/s after its first {} s",
                s(STALL_MS),
                s(START_MS)
            ),
            format!(
                "large request bodies of this key: more than it leaves free of {} MiB",
                mib(MAX_BODIES_BYTES)
            ),
            format!("{MAX_PLACES} answers are under way"),
            format!("the answer is larger than {} MiB", mib(MAX_ANSWER_BYTES)),
            format!("did not take the connection within {CONNECT_S} s"),
            format!("did not finish the handshake within {} s", s(HANDSHAKE_MS)),
            format!(
                "did not say within {} s whether it took the run",
                s(ACCEPTANCE_MS)
            ),
            format!("the run took longer than {} h", h(RUN_MS)),
            format!("the client left {UNREAD_MIB} MiB of it unread"),
        ],
    );
}

#[test]
fn sentences_of_keys_with_numbers_are_the_codes() {
    assert_sentences(
        include_str!("../../docs/keys.md"),
        [
            format!("The hub has {MAX_PLACES} places."),
            format!(
                "{} if it is the only one, {}",
                MAX_PLACES / 2,
                MAX_PLACES / 4
            ),
            format!(
                "of all request bodies together the hub holds {} MiB.",
                mib(MAX_BODIES_BYTES)
            ),
            format!(
                "no more of them than it leaves free: {} MiB if it is the only one, {} MiB",
                mib(MAX_BODIES_BYTES_OF_KEY),
                mib(MAX_BODIES_BYTES_OF_KEY / 2)
            ),
            format!("The first {UNCOUNTED_KIB} KiB of each body"),
            format!("After {MAX_FAILED_ATTEMPTS} such answers in a minute"),
        ],
    );
}

#[test]
fn sentences_of_operating_with_numbers_are_the_codes() {
    assert_sentences(
        include_str!("../../docs/operating.md"),
        [format!(
            "at most {MAX_LOGGED_STRANGERS} lines a minute in one isolate"
        )],
    );
}

#[test]
fn sentences_of_compatibility_with_numbers_are_the_codes() {
    assert_sentences(
        include_str!("../../docs/compatibility.md"),
        [
            format!(
                "{MAX_IMAGES} of {},000,000 bytes",
                MAX_IMAGE_BYTES / 1_000_000
            ),
            format!(
                "{MAX_FILES} files of {},048,576 bytes, with names of {MAX_NAME_BYTES} bytes",
                MAX_FILE_BYTES / 1_048_576
            ),
            format!(
                "a text, or up to {MAX_SEQUENCES} of {},024 bytes each",
                MAX_SEQUENCE_BYTES / 1000
            ),
            format!("decoded bytes, at most {} MiB", mib(MAX_BODY_BYTES)),
            format!("the text, 1 to {MAX_INPUT_UNITS} characters"),
            format!("or FLAC of at most {} MiB", mib(MAX_AUDIO_BYTES)),
            format!("no audio after {} s", s(SPEECH_MS)),
            format!("{MAX_SPEECHES} requests are under way at a time"),
        ],
    );
}

#[test]
fn sentences_of_openapi_with_numbers_are_the_codes() {
    assert_sentences(
        include_str!("../../openapi.yaml"),
        [format!("const: \"{}\"", coding::ACCEPTED)],
    );
}

/// The codes in the first cells of a document's table: what stands in backticks there.
fn first_cells(section: &str) -> impl Iterator<Item = &str> {
    section
        .lines()
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1)
        .take_while(|line| line.starts_with("| "))
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
}

#[test]
fn every_cause_of_a_failed_connection_is_documented_and_no_other() {
    let document = include_str!("../../docs/operating.md");
    let (_, section) = document
        .split_once("\n## Why the gateway cannot be reached\n")
        .unwrap();
    let documented: Vec<&str> = first_cells(section).collect();
    let codes = Diagnosis::ALL.map(Diagnosis::code);
    assert_eq!(documented.len(), codes.len());
    assert_eq!(BTreeSet::from_iter(documented), BTreeSet::from(codes));
}

/// `tests/openapi.test.mjs` compares the paths of `openapi.yaml` with the routes.
#[test]
fn every_list_of_endpoints_has_every_endpoint() {
    let openapi = include_str!("../../openapi.yaml");
    let endpoints: Vec<(&str, &str)> = openapi
        .split("\n  /v1/")
        .skip(1)
        .filter_map(|item| {
            let (path, operations) = item.split_once(":\n")?;
            let is_post = operations.starts_with("    post:");
            Some((if is_post { "POST" } else { "GET" }, path))
        })
        // The lists are for clients, and this is for their administrator. Nothing is below a
        // response that is not stored.
        .filter(|(_, path)| *path != "organization/usage/completions")
        .filter(|(_, path)| !path.starts_with("responses/{id}/"))
        // A link has this path.
        .filter(|(_, path)| *path != "files/{id}/content")
        .collect();
    assert_eq!(endpoints.len(), 8);
    let message = ErrorResponse::of(&Failure::UnknownUrl).body.message;
    for (method, path) in endpoints {
        let endpoint = format!("{method} /v1/{path}");
        assert!(
            head::ABOUT_JSON.contains(&format!("\"{endpoint}\"")),
            "GET / lacks {endpoint}"
        );
        assert!(message.contains(&endpoint), "unknown_url lacks {endpoint}");
        let document = include_str!("../../docs/compatibility.md");
        assert!(
            document.contains(&format!("`/v1/{path}`")),
            "no document has {endpoint}"
        );
    }
}

#[test]
fn every_setting_is_documented_and_no_other() {
    let documented: BTreeSet<&str> = first_cells(include_str!("../../docs/settings.md")).collect();
    let other = [
        config::GATEWAY,
        config::CLIENT_KEYS,
        "CLIENT_KEYS_2",
        "CLIENT_KEYS_9",
        config::HUB,
    ];
    assert_eq!(
        documented,
        config::TEXTS
            .into_iter()
            .chain(other)
            .collect::<BTreeSet<_>>()
    );
}

#[test]
fn every_field_of_a_log_line_is_documented_and_no_other() {
    let documented: BTreeSet<&str> = first_cells(include_str!("../../docs/operating.md")).collect();
    let source = include_str!("log.rs");
    let line = source
        .split("\npub struct ")
        .find(|item| item.contains("    pub request_id: String,"))
        .unwrap();
    let (fields, _) = line.split_once("\n}").unwrap();
    let mut written = BTreeSet::new();
    let (mut is_skipped, mut renamed) = (false, None);
    for line in fields.lines().map(str::trim) {
        is_skipped |= line == "#[serde(skip)]";
        if let Some((_, rest)) = line.split_once("rename = \"") {
            renamed = rest.split('"').next();
        }
        if let Some((name, _)) = line.strip_prefix("pub ").and_then(|it| it.split_once(':')) {
            if !is_skipped {
                written.insert(renamed.unwrap_or(name));
            }
            (is_skipped, renamed) = (false, None);
        }
    }
    assert_eq!(documented, written);
}
