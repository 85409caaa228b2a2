//! The parameters of `connect`, and the closed schema that each version has for them.
//!
//! Source: measured on both versions, and `client-info.ts` of both for the names of clients.

use serde::Deserialize;
use serde_json::Value;

use crate::frames::Protocol;
use crate::pairing::Asked;
use crate::schema::{Kind, Schema, optional, required};

/// The description that a client sends of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connect {
    pub(crate) min_protocol: u32,
    pub(crate) max_protocol: u32,
    pub(crate) client: ConnectClient,
    #[serde(default)]
    pub(crate) role: Option<String>,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) caps: Vec<String>,
    #[serde(default)]
    pub(crate) auth: ConnectAuth,
    #[serde(default)]
    pub(crate) device: Option<DeviceProof>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectClient {
    pub(crate) id: String,
    pub(crate) mode: String,
    pub(crate) platform: String,
    #[serde(default)]
    pub(crate) device_family: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectAuth {
    pub(crate) token: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) device_token: Option<String>,
    pub(crate) bootstrap_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceProof {
    pub(crate) id: String,
    pub(crate) public_key: String,
    pub(crate) signature: String,
    pub(crate) signed_at: u64,
    pub(crate) nonce: String,
}

impl Connect {
    /// Reads the parameters of `connect`.
    ///
    /// # Errors
    /// Returns the violation of the version's closed schema.
    pub(crate) fn parse(params: &Value, protocol: Protocol) -> Result<Self, String> {
        let schema = match protocol {
            Protocol::V3 => &CONNECT_V3,
            Protocol::V4 => &CONNECT_V4,
        };
        schema.check(params, protocol)?;
        Self::deserialize(params).map_err(|error| error.to_string())
    }

    pub(crate) fn role(&self) -> &str {
        self.role.as_deref().unwrap_or("operator")
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.role() == "operator"
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked {
            role: self.role().to_owned(),
            scopes: self.scopes.clone(),
            platform: self.client.platform.trim().to_ascii_lowercase(),
            device_family: self
                .client
                .device_family
                .as_deref()
                .unwrap_or("")
                .trim()
                .to_ascii_lowercase(),
        }
    }
}

impl ConnectClient {
    pub(crate) fn is_cli(&self) -> bool {
        self.id == "cli" && self.mode == "cli"
    }
}

/// The values of `client.id`. Source: `client-info.ts` of both versions.
const CLIENT_IDS_V3: &[&str] = &[
    "webchat-ui",
    "openclaw-control-ui",
    "webchat",
    "cli",
    "gateway-client",
    "openclaw-macos",
    "openclaw-ios",
    "openclaw-android",
    "node-host",
    "test",
    "fingerprint",
    "openclaw-probe",
];
const CLIENT_IDS_V4: &[&str] = &[
    "webchat-ui",
    "openclaw-control-ui",
    "openclaw-browser-copilot",
    "openclaw-tui",
    "webchat",
    "cli",
    "gateway-client",
    "openclaw-macos",
    "openclaw-linux",
    "openclaw-ios",
    "openclaw-watchos",
    "openclaw-android",
    "node-host",
    "openclaw-worker",
    "test",
    "fingerprint",
    "openclaw-probe",
];
const CLIENT_MODES_V3: &[&str] = &["webchat", "cli", "ui", "backend", "node", "probe", "test"];
const CLIENT_MODES_V4: &[&str] = &[
    "webchat", "cli", "ui", "backend", "node", "worker", "probe", "test",
];

const CONNECT_V3: Schema = Schema(&[
    required("minProtocol", Kind::Integer(1)),
    required("maxProtocol", Kind::Integer(1)),
    required("client", Kind::Object(&CLIENT_V3)),
    optional("caps", Kind::Texts),
    optional("commands", Kind::Texts),
    optional("permissions", Kind::Any),
    optional("pathEnv", Kind::Text),
    optional("role", Kind::NonEmptyText),
    optional("scopes", Kind::Texts),
    optional("device", Kind::Object(&DEVICE)),
    optional("auth", Kind::Object(&AUTH_V3)),
    optional("locale", Kind::Text),
    optional("userAgent", Kind::Text),
]);

const CLIENT_V3: Schema = Schema(&[
    required("id", Kind::OneOf(CLIENT_IDS_V3)),
    required("version", Kind::NonEmptyText),
    required("platform", Kind::NonEmptyText),
    required("mode", Kind::OneOf(CLIENT_MODES_V3)),
    optional("displayName", Kind::NonEmptyText),
    optional("deviceFamily", Kind::NonEmptyText),
    optional("modelIdentifier", Kind::NonEmptyText),
    optional("instanceId", Kind::NonEmptyText),
]);

const AUTH_V3: Schema = Schema(&[
    optional("token", Kind::Text),
    optional("password", Kind::Text),
    optional("deviceToken", Kind::Text),
    optional("bootstrapToken", Kind::Text),
]);

const CONNECT_V4: Schema = Schema(&[
    required("minProtocol", Kind::Integer(1)),
    required("maxProtocol", Kind::Integer(1)),
    required("client", Kind::Object(&CLIENT_V4)),
    optional("caps", Kind::Texts),
    optional("commands", Kind::Texts),
    optional("permissions", Kind::Any),
    optional("pathEnv", Kind::Text),
    optional("role", Kind::NonEmptyText),
    optional("scopes", Kind::Texts),
    optional("device", Kind::Object(&DEVICE)),
    optional("auth", Kind::Object(&AUTH_V4)),
    optional("locale", Kind::Text),
    optional("userAgent", Kind::Text),
    optional("modelCatalog", Kind::Any),
    optional("computerUse", Kind::Any),
    optional("workerRuns", Kind::Any),
]);

const CLIENT_V4: Schema = Schema(&[
    required("id", Kind::OneOf(CLIENT_IDS_V4)),
    required("version", Kind::NonEmptyText),
    required("platform", Kind::NonEmptyText),
    required("mode", Kind::OneOf(CLIENT_MODES_V4)),
    optional("displayName", Kind::NonEmptyText),
    optional("deviceFamily", Kind::NonEmptyText),
    optional("modelIdentifier", Kind::NonEmptyText),
    optional("instanceId", Kind::NonEmptyText),
    optional("buildId", Kind::NonEmptyText),
    optional("timeZone", Kind::NonEmptyText),
]);

const AUTH_V4: Schema = Schema(&[
    optional("token", Kind::Text),
    optional("password", Kind::Text),
    optional("deviceToken", Kind::Text),
    optional("bootstrapToken", Kind::Text),
    optional("approvalRuntimeToken", Kind::Text),
    optional("agentRuntimeIdentityToken", Kind::Text),
]);

const DEVICE: Schema = Schema(&[
    required("id", Kind::NonEmptyText),
    required("publicKey", Kind::NonEmptyText),
    required("signature", Kind::NonEmptyText),
    required("signedAt", Kind::Integer(0)),
    required("nonce", Kind::NonEmptyText),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_metadata_is_compared_as_it_was_signed() {
        let connect = |platform: &str| Connect {
            min_protocol: 4,
            max_protocol: 4,
            client: ConnectClient {
                id: "cli".into(),
                mode: "cli".into(),
                platform: platform.into(),
                device_family: None,
            },
            role: None,
            scopes: Vec::new(),
            caps: Vec::new(),
            auth: ConnectAuth::default(),
            device: None,
        };
        assert_eq!(connect(" Linux").asked(), connect("linux").asked());
    }
}
