//! Devices that the gateway knows, and devices that wait for its operator's approval.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::clock;

/// Lifetime of a pairing request, in milliseconds. Source: measured on both versions.
const REQUEST_LIFETIME_MS: u64 = 300_000;

/// Paired and waiting devices, by device id.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    devices: HashMap<String, Device>,
    requests: HashMap<String, Request>,
}

/// A paired device.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) token: String,
    pub(crate) issued_at_ms: u64,
    pub(crate) asked: Asked,
}

/// The request of a device. It is pinned to the device when it is paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) role: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) platform: String,
    pub(crate) device_family: String,
}

#[derive(Debug)]
struct Request {
    id: String,
    at_ms: u64,
    asked: Asked,
}

impl Pairing {
    pub(crate) fn device(&self, device_id: &str) -> Option<&Device> {
        self.devices.get(device_id)
    }

    /// Returns whether a paired device has this token.
    pub(crate) fn has_token(&self, token: &str) -> bool {
        self.devices.values().any(|device| device.token == token)
    }

    /// Pairs a device. A device that is already paired keeps its token.
    pub(crate) fn pair(&mut self, device_id: &str, asked: Asked) -> Device {
        self.requests.remove(device_id);
        let device = self
            .devices
            .entry(device_id.to_owned())
            .or_insert_with(|| Device {
                token: clock::token(),
                issued_at_ms: clock::now_ms(),
                asked: asked.clone(),
            });
        device.asked = asked;
        device.clone()
    }

    /// Returns the id of the request that waits for this device. A second request does not create
    /// another one.
    pub(crate) fn request(&mut self, device_id: &str, asked: Asked) -> String {
        let now = clock::now_ms();
        self.requests
            .retain(|_, request| now.saturating_sub(request.at_ms) < REQUEST_LIFETIME_MS);
        let request = self
            .requests
            .entry(device_id.to_owned())
            .or_insert_with(|| Request {
                id: clock::uuid(),
                at_ms: now,
                asked: asked.clone(),
            });
        request.asked = asked;
        request.id.clone()
    }

    /// Does the same as the operator's `openclaw devices approve`; `false` if no such request
    /// waits.
    pub(crate) fn approve(&mut self, request_id: &str) -> bool {
        let waiting = self
            .requests
            .iter()
            .find(|(_, request)| request.id == request_id);
        let Some((device_id, asked)) =
            waiting.map(|(id, request)| (id.clone(), request.asked.clone()))
        else {
            return false;
        };
        self.pair(&device_id, asked);
        true
    }

    /// Does the same as the operator's `openclaw devices revoke`; `false` if there is no such
    /// device.
    pub(crate) fn revoke(&mut self, device_id: &str) -> bool {
        self.devices.remove(device_id).is_some()
    }

    /// Without any token.
    pub(crate) fn summary(&self) -> Value {
        let requests: Vec<_> = self
            .requests
            .iter()
            .map(|(device_id, request)| {
                json!({
                    "requestId": request.id,
                    "deviceId": device_id,
                    "scopes": request.asked.scopes,
                })
            })
            .collect();
        let devices: Vec<_> = self
            .devices
            .iter()
            .map(|(device_id, device)| json!({ "deviceId": device_id, "scopes": device.asked.scopes }))
            .collect();
        json!({ "requests": requests, "devices": devices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            role: "operator".into(),
            scopes: vec!["operator.read".into()],
            platform: "p".into(),
            device_family: String::new(),
        }
    }

    #[test]
    fn asking_again_keeps_the_request_and_its_approval_pairs() {
        let mut pairing = Pairing::default();
        let id = pairing.request("d", asked());
        assert_eq!(pairing.request("d", asked()), id);
        assert!(pairing.approve(&id));
        assert!(!pairing.approve(&id));
        let token = pairing.device("d").unwrap().token.clone();
        assert_eq!(pairing.pair("d", asked()).token, token);
        assert_eq!(token.len(), 43);
    }
}
