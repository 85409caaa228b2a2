//! The admin API: the keys that the hub makes, changes and takes back, and the runs that it has.

use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::access::hub_key::HubKeys;
use clawfront_core::access::key::KeyId;
use clawfront_core::admin::usage::Report;
use clawfront_core::admin::{self, Call, Change, Desk, MAX_BODY_BYTES, Reply};
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use clawfront_core::http::route::Resource;
use clawfront_core::http::url;
use clawfront_core::hub::Input;
use wasm_bindgen::JsValue;
use web_sys::Request;

use crate::context::{Rejection, RequestContext};
use crate::hub::body;
use crate::hub::common::Common;
use crate::hub::slot::Slot;
use crate::runtime::clock::now_ms;
use crate::runtime::entropy::entropy;

/// A request of an administrator, and the state that it concerns.
struct Office<'a> {
    client: &'a Grant,
    config: &'a Rc<Config>,
    common: &'a Common,
    context: &'a mut RequestContext,
}

/// Answers a request of an administrator.
pub(crate) async fn answer(
    request: Request,
    resource: &Resource,
    client: &Grant,
    config: &Rc<Config>,
    common: &Common,
    context: &mut RequestContext,
) -> Result<web_sys::Response, Rejection> {
    let body = {
        let slot = Slot::take(client, common)?;
        body::read(&request, &slot, MAX_BODY_BYTES).await?
    };
    let mut office = Office {
        client,
        config,
        common,
        context,
    };
    let url = request.url();
    let query = url::query(&url).unwrap_or_default();
    let reply = match resource {
        Resource::Audit => Reply::list(&common.store.records()),
        Resource::Runs => Reply::list(&common.link(config).runs()),
        Resource::Stop(run) => office.stop(run)?,
        Resource::Usage | Resource::Completions => {
            let is_openai = *resource == Resource::Completions;
            let report = Report::of(query, is_openai, now_ms())?;
            Reply::of(report.write(&common.usage_rows(report.days())))
        }
        _ => office.change(&Call::of(&request.method(), resource, &body))?,
    };
    let mut head = context.meta.json();
    head.status = reply.status;
    Ok(context.answer(head, &reply.body)?)
}

impl Office<'_> {
    /// Stops a run, for all who share it.
    fn stop(&mut self, run: &str) -> Result<Reply, Rejection> {
        let link = self.common.link(self.config);
        let key = link.stoppable_key(run)?;
        let record = admin::run_stopped(&self.client.id, &key, run, now_ms());
        self.stored(self.common.store.change_key("", "", &record))?;
        link.handle(Input::Stopped(run));
        // A run without a connection is stopped on the next one.
        let is_stopped = link.stoppable_key(run).is_err();
        Ok(Reply::stopped(run, is_stopped))
    }

    /// Carries out a call about keys.
    fn change(&mut self, call: &Call<'_>) -> Result<Reply, Rejection> {
        let (common, config) = (self.common, self.config);
        // Whatever is shown of a key has its usage.
        let ids: Vec<KeyId> =
            common.keys(|keys| keys.iter().map(|key| key.grant.id.clone()).collect());
        for id in &ids {
            common.counts_of(id, |_| ());
        }
        let entropy = entropy()?;
        let mut reply = common.counts(|counts| {
            common.keys(|keys| {
                Desk {
                    keys,
                    listed: &config.clients,
                    secret: config.keys_secret.as_ref(),
                    counts,
                    actor: &self.client.id,
                    entropy,
                    now_ms: now_ms(),
                }
                .perform(call)
            })
        })?;
        if let Some(change) = reply.change.take() {
            let Change {
                id,
                row,
                ends_ms,
                record,
            } = change;
            let written = common.store.change_key(id.as_str(), &row, &record);
            if written.is_err() {
                // Nothing was stored, so nothing has changed.
                common.keys(|keys| *keys = HubKeys::read(&common.store.keys()));
            }
            self.stored(written)?;
            let is_deleted = row.is_empty();
            if !config.clients.lists(&id) {
                let link = common.link(config);
                if is_deleted {
                    link.keep_none_of(&id);
                    common.store.forget_responses(id.as_str());
                    common.store.forget_files(id.as_str());
                }
                link.expire(&id, ends_ms);
                if ends_ms.is_some_and(|ends_ms| now_ms() >= ends_ms) {
                    common.store.end_readers(id.as_str());
                }
            }
        }
        Ok(reply)
    }

    /// Returns the failure of a change that was not stored.
    fn stored(&mut self, written: Result<(), JsValue>) -> Result<(), Failure> {
        written.map_err(|error| {
            self.context.line.cause = error.as_string();
            Failure::HubUnavailable
        })
    }
}
