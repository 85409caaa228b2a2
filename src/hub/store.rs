//! The hub's storage: `store.js`. It holds the keys that the hub has made, the record of their
//! changes, the usage of all keys, and the runs that may have begun, because the platform may reset
//! the object at any time, as every deploy does.

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::ReadableStream;

use crate::runtime::socket::WebSocket;

#[wasm_bindgen(module = "/src/hub/events.js")]
extern "C" {
    /// The readers that wait for events of stored responses.
    pub(crate) type Waiting;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> Waiting;
}

#[wasm_bindgen(module = "/src/hub/store.js")]
extern "C" {
    pub(crate) type Store;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(state: &JsValue, waiting: &Waiting) -> Store;

    /// Returns the latest row of a key's usage.
    #[wasm_bindgen(method)]
    pub(crate) fn usage(this: &Store, key: &str) -> Option<String>;

    /// Keeps the row of a key's usage, within seconds.
    #[wasm_bindgen(method, js_name = keepUsage)]
    pub(crate) fn keep_usage(this: &Store, key: &str, row: &str);

    /// Writes the rows of usage that wait.
    #[wasm_bindgen(method, js_name = writeUsages)]
    pub(crate) fn write_usages(this: &Store);

    /// Returns the rows of all keys' usage on these days, one in each line: the key's id, a tab,
    /// the row. The last day is not among them.
    #[wasm_bindgen(method, js_name = usageRows)]
    pub(crate) fn usage_rows(this: &Store, from_day: u32, until_day: u32) -> String;

    /// Returns the rows of all runs, one in each line: the run's id, a tab, the row.
    #[wasm_bindgen(method)]
    pub(crate) fn runs(this: &Store) -> String;

    /// Returns true, once, if the object's former self panicked.
    #[wasm_bindgen(method, js_name = takePanic)]
    pub(crate) fn take_panic(this: &Store) -> bool;

    /// Keeps the row of a run.
    #[wasm_bindgen(method, js_name = keepRun)]
    pub(crate) fn keep_run(this: &Store, run: &str, row: &str);

    /// Sends a frame to the gateway, once the rows of runs that were kept before are stored.
    #[wasm_bindgen(method)]
    pub(crate) fn send(this: &Store, socket: &WebSocket, frame: &str);

    /// Returns the promise that the rows of runs that were kept before are stored, if they are not.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn stored(this: &Store) -> JsValue;

    /// Closes the gateway's socket, after the frames that wait.
    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &Store, socket: &web_sys::WebSocket);

    /// Deletes the row of a run, if there is one.
    #[wasm_bindgen(method, js_name = forgetRun)]
    pub(crate) fn forget_run(this: &Store, run: &str);

    /// Deletes the rows of runs and responses whose time is over, and has the object woken again.
    #[wasm_bindgen(method)]
    pub(crate) fn sweep(this: &Store);

    /// Returns the row of a stored response, by its key's id, a colon, and its id.
    #[wasm_bindgen(method)]
    pub(crate) fn response(this: &Store, name: &str) -> Option<String>;

    /// Returns a text of a stored response: `object`, `input` or `events`.
    #[wasm_bindgen(method)]
    pub(crate) fn text(this: &Store, name: &str, kind: &str) -> String;

    /// Returns the number of the last event of a stored response, if there is one.
    #[wasm_bindgen(method, js_name = lastEvent)]
    pub(crate) fn last_event(this: &Store, name: &str) -> Option<u32>;

    /// Returns the events after the one with the number `last`, or all, and those that follow. If
    /// the key is not valid any more, at this Unix time or before, the stream ends with `expired`.
    #[wasm_bindgen(method)]
    pub(crate) fn events(
        this: &Store,
        name: &str,
        last: Option<u32>,
        expired: &str,
        key_ends_s: Option<u32>,
    ) -> ReadableStream;

    /// Ends the streams of a key's responses, because it is not valid any more.
    #[wasm_bindgen(method, js_name = endReaders)]
    pub(crate) fn end_readers(this: &Store, key: &str);

    /// Returns the number of blocks of a stored response's events.
    #[wasm_bindgen(method)]
    pub(crate) fn blocks(this: &Store, name: &str) -> u32;

    /// Returns the names of the responses that are going, one in each line: the run's id, a tab,
    /// the name.
    #[wasm_bindgen(method, js_name = goingResponses)]
    pub(crate) fn going_responses(this: &Store) -> String;

    /// Stores a response, whole or nothing. A response that is not new has no input here, and may
    /// have been deleted: then nothing is stored.
    #[wasm_bindgen(method, catch, js_name = keepResponse)]
    pub(crate) fn keep_response(
        this: &Store,
        name: &str,
        row: &str,
        run: &str,
        object: &str,
        input: Option<&str>,
    ) -> Result<(), JsValue>;

    /// Stores a block of a response's events. Without events, none of them is kept.
    #[wasm_bindgen(method, catch, js_name = keepBlock)]
    pub(crate) fn keep_block(
        this: &Store,
        name: &str,
        number: u32,
        events: Option<&str>,
    ) -> Result<(), JsValue>;

    /// Deletes a stored response.
    #[wasm_bindgen(method, js_name = forgetResponse)]
    pub(crate) fn forget_response(this: &Store, name: &str);

    /// Deletes the name of a response that is going, by its run.
    #[wasm_bindgen(method, js_name = forgetGoing)]
    pub(crate) fn forget_going(this: &Store, run: &str);

    /// Deletes the stored responses of a key.
    #[wasm_bindgen(method, js_name = forgetResponses)]
    pub(crate) fn forget_responses(this: &Store, key: &str);

    /// Returns the row of a file whose link is in an answer.
    #[wasm_bindgen(method)]
    pub(crate) fn file(this: &Store, id: &str) -> Option<String>;

    /// Keeps the row of a file.
    #[wasm_bindgen(method, catch, js_name = keepFile)]
    pub(crate) fn keep_file(this: &Store, id: &str, row: &str) -> Result<(), JsValue>;

    /// Deletes the rows of a key's files.
    #[wasm_bindgen(method, js_name = forgetFiles)]
    pub(crate) fn forget_files(this: &Store, key: &str);

    /// Returns the rows of all keys, one in each line.
    #[wasm_bindgen(method)]
    pub(crate) fn keys(this: &Store) -> String;

    /// Writes the row of a key, or deletes it if the row is empty, and adds a line to the record of
    /// changes. If it fails, neither is stored. Without an id it only adds the line.
    #[wasm_bindgen(method, catch, js_name = changeKey)]
    pub(crate) fn change_key(
        this: &Store,
        id: &str,
        row: &str,
        record: &str,
    ) -> Result<(), JsValue>;

    /// Returns the record of changes, the latest first, with commas between them.
    #[wasm_bindgen(method)]
    pub(crate) fn records(this: &Store) -> String;
}
