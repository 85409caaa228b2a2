//! Requests of the runtime.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Headers;

/// A request.
pub(crate) struct Request {
    pub(crate) inner: web_sys::Request,
    pub(crate) method: String,
    headers: Headers,
}

impl Request {
    pub(crate) fn new(inner: web_sys::Request) -> Self {
        Self {
            method: inner.method(),
            headers: inner.headers(),
            inner,
        }
    }

    /// Returns the address's path. The runtime has normalised the address, so the first slash after
    /// the host begins the path.
    pub(crate) fn path(&self) -> String {
        let url = self.inner.url();
        let (_, address) = url.split_once("://").unwrap_or_default();
        let path = address.find('/').and_then(|begin| address.get(begin..));
        let path = path.and_then(|path| path.split(['?', '#']).next());
        path.unwrap_or("/").to_owned()
    }

    /// Returns the header of this name, if there is one.
    pub(crate) fn header(&self, name: &str) -> Result<Option<String>, JsValue> {
        self.headers.get(name)
    }

    /// Returns true if there is a header of this name.
    pub(crate) fn has_header(&self, name: &str) -> Result<bool, JsValue> {
        self.headers.has(name)
    }

    /// Returns the names, in lower case, and values of all headers.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (String, String)> {
        let entries = Array::from(&self.headers).to_vec().into_iter();
        entries.filter_map(|entry| {
            let entry: Array = entry.unchecked_into();
            Some((entry.get(0).as_string()?, entry.get(1).as_string()?))
        })
    }
}
