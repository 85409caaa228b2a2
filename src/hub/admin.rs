//! The admin API: the keys that the hub makes, changes and takes back.

use std::rc::Rc;

use clawfront_core::access::grant::Grant;
use clawfront_core::access::hub_key::HubKeys;
use clawfront_core::access::key::KeyId;
use clawfront_core::admin::{Call, Change, Desk, MAX_BODY_BYTES};
use clawfront_core::config::Config;
use clawfront_core::failure::Failure;
use clawfront_core::http::route::Resource;
use worker::Request;

use crate::context::{Rejection, RequestContext};
use crate::hub::body;
use crate::hub::common::Common;
use crate::hub::slot::Slot;
use crate::runtime::clock::now_ms;
use crate::runtime::entropy::entropy;

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
    if *resource == Resource::Audit {
        let records = common.store.records();
        let body = [
            r#"{"object":"list","data":["#,
            &records,
            r#"],"has_more":false}"#,
        ]
        .concat();
        return Ok(context.answer(context.meta.json(), body.as_bytes())?);
    }
    // Whatever is shown of a key has its usage.
    let ids: Vec<KeyId> = common.keys(|keys| keys.iter().map(|key| key.grant.id.clone()).collect());
    for id in &ids {
        common.counts_of(id, |_| ());
    }
    let entropy = entropy()?;
    let reply = common.counts(|counts| {
        common.keys(|keys| {
            Desk {
                keys,
                listed: &config.clients,
                secret: config.keys_secret.as_ref(),
                counts,
                actor: &client.id,
                entropy,
                now_ms: now_ms(),
            }
            .perform(&Call::of(request.method().as_ref(), resource, &body))
        })
    })?;
    if let Some(change) = reply.change {
        let Change {
            id,
            row,
            ends_ms,
            record,
        } = change;
        if let Err(error) = common.store.change_key(id.as_str(), &row, &record) {
            // Nothing was stored, so nothing has changed.
            common.keys(|keys| *keys = HubKeys::read(&common.store.keys()));
            context.line.cause = error.as_string();
            return Err(Failure::HubUnavailable.into());
        }
        if !config.clients.lists(&id) {
            common.link(config).expire(&id, ends_ms);
        }
    }
    let mut head = context.meta.json();
    head.status = reply.status;
    Ok(context.answer(head, &reply.body)?)
}
