//! Checks the shared secret or the device's token, depending on which of them a client has.

use serde_json::json;

use super::refusal::{NextStep, Refusal, device_token_mismatch, unauthorized};
use crate::connect_params::Connect;
use crate::frames::{ErrorShape, Protocol};
use crate::gateway::Gateway;
use crate::options::Secret;

/// The kind of credential that admitted a client: the value of `hello.auth.method`.
pub(super) type Method = &'static str;

pub(super) const BY_DEVICE_TOKEN: Method = "device-token";

pub(super) fn authenticate(
    gateway: &Gateway,
    connect: &Connect,
    device: Option<&str>,
) -> Result<Method, Refusal> {
    let auth = &connect.auth;
    let protocol = gateway.protocol();
    // Protocol 4 accepts the secret in either field.
    let either = |first: &Option<String>, second: &Option<String>| match protocol {
        Protocol::V3 => first.clone(),
        Protocol::V4 => first.clone().or_else(|| second.clone()),
    };
    let (method, secret, presented, name) = match &gateway.options.secret {
        Secret::None => return Ok("none"),
        Secret::Token(token) => ("token", token, either(&auth.token, &auth.password), "token"),
        Secret::Password(password) => (
            "password",
            password,
            either(&auth.password, &auth.token),
            "password",
        ),
    };
    if presented.as_ref() == Some(secret) {
        return Ok(method);
    }
    if let Some(device) = device {
        let known = gateway
            .state()
            .pairing
            .device(device)
            .map(|device| device.token.clone());
        let candidate = auth.device_token.as_ref().or(auth.token.as_ref());
        if candidate.is_some() && candidate == known.as_ref() {
            return Ok(BY_DEVICE_TOKEN);
        }
        if auth.device_token.is_some() {
            return Err(device_token_mismatch());
        }
    }
    let refused = Refused {
        name,
        is_presented: presented.is_some(),
        has_device: device.is_some(),
    };
    Err(refused.refusal(connect))
}

/// A client whose secret is absent or wrong.
struct Refused {
    /// `token` or `password`.
    name: &'static str,
    is_presented: bool,
    has_device: bool,
}

impl Refused {
    fn refusal(&self, connect: &Connect) -> Refusal {
        let name = self.name;
        let upper = name.to_uppercase();
        if self.is_presented {
            let next = if self.has_device && name == "token" {
                NextStep::RetryWithDeviceToken
            } else {
                NextStep::UpdateCredentials
            };
            return unauthorized(
                &format!("gateway {name} mismatch (provide gateway auth {name})"),
                &format!("AUTH_{upper}_MISMATCH"),
                &format!("{name}_mismatch"),
                next,
            );
        }
        let auth = &connect.auth;
        if !self.has_device && auth.password.is_none() && auth.token.is_none() {
            return ErrorShape::new("NOT_PAIRED", "device identity required")
                .with_details(json!({ "code": "DEVICE_IDENTITY_REQUIRED" }))
                .into();
        }
        ErrorShape::invalid_request(format!(
            "unauthorized: gateway {name} missing (provide gateway auth {name})"
        ))
        .with_details(json!({
            "code": format!("AUTH_{upper}_MISSING"),
            "authReason": format!("{name}_missing"),
            "canRetryWithDeviceToken": false,
            "recommendedNextStep": "update_auth_configuration",
        }))
        .into()
    }
}
