//! The runs that the object's former self left: their clients are gone, and their keys let no run
//! go on without its client.

use std::rc::Rc;

use clawfront_core::config::Config;
use js_sys::Array;
use wasm_bindgen::JsCast;
use worker::js_sys::futures::JsFuture;

use crate::hub::agents;
use crate::hub::common::Common;

/// Stops the runs that the object's former self left, if their clients have not come back.
pub(crate) async fn stop(config: &Rc<Config>, common: &Common) {
    let Ok(frames) = JsFuture::from(common.store.look()).await else {
        return;
    };
    let frames: Vec<String> = frames
        .unchecked_into::<Array>()
        .iter()
        .filter_map(|frame| frame.as_string())
        .collect();
    if !frames.is_empty()
        && agents::fetch_after(frames, config, common)
            .await
            .failure
            .is_none()
    {
        common.store.stopped();
    }
}
