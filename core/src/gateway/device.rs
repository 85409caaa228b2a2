//! The device identity by which the gateway knows this Worker: an Ed25519 key and the proof made
//! with it at every connect.
//!
//! The Worker derives the public key and signs with the runtime's Web Crypto, which is asynchronous
//! (`src/runtime/signer.js`); the code for it here is for native programs.
//!
//! Source of every wire fact here: OpenClaw 2026.9.6 and 2026.3.13, `src/gateway/device-auth.ts`
//! and `handshake-auth-helpers.ts`. Both versions accept the v3 payload, checked against the
//! running gateways.

use std::fmt;
use std::sync::OnceLock;

use base16ct::lower as hex;
use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Length of an Ed25519 seed, public key, and of the SHA-256 of the latter.
pub const KEY_BYTES: usize = 32;

/// A private device key. `DEVICE_KEY` holds its 32-byte seed as base64url without padding (43
/// characters).
#[derive(Clone)]
pub struct DeviceKey {
    seed: Zeroizing<[u8; KEY_BYTES]>,
    /// In the Worker it is unknown until [`DeviceKey::set_public_key`].
    public: OnceLock<[u8; KEY_BYTES]>,
}

impl DeviceKey {
    /// Makes a key from 32 bytes of entropy.
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Self {
        Self {
            seed: Zeroizing::new(*seed),
            public: OnceLock::new(),
        }
    }

    /// Parses the form that [`DeviceKey::encode`] writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        let written = Base64UrlUnpadded::decode(text, seed.as_mut_slice())
            .ok()?
            .len();
        (written == KEY_BYTES).then(|| Self::from_seed(&seed))
    }

    /// Returns the private key.
    pub fn seed(&self) -> &[u8; KEY_BYTES] {
        &self.seed
    }

    /// Returns the private key as it is stored in `DEVICE_KEY`.
    pub fn encode(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64UrlUnpadded::encode_string(self.seed.as_slice()))
    }

    /// Records the public key in the form of [`DeviceKey::public_key`]. Returns false if it is not
    /// one.
    pub fn set_public_key(&self, text: &str) -> bool {
        let mut key = [0; KEY_BYTES];
        let written = Base64UrlUnpadded::decode(text, &mut key).map(<[u8]>::len);
        let is_key = written == Ok(KEY_BYTES);
        if is_key {
            self.public.get_or_init(|| key);
        }
        is_key
    }

    /// Returns the public key as it is sent in `connect.params.device.publicKey`.
    pub fn public_key(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.public())
    }

    /// Returns the device id: lower-case hex SHA-256 of the public key.
    pub fn device_id(&self) -> String {
        device_id(&self.public())
    }

    fn public(&self) -> [u8; KEY_BYTES] {
        #[cfg(not(target_family = "wasm"))]
        self.derive_public_key();
        self.public.get().copied().unwrap_or_default()
    }

    /// Derives the public key from the private one, unless it is known.
    pub fn derive_public_key(&self) {
        self.public.get_or_init(|| {
            let key = SigningKey::from_bytes(&self.seed);
            key.verifying_key().to_bytes()
        });
    }

    /// Returns `connect.params.device.signature` over the payload of a [`Proof`].
    pub fn sign(&self, payload: &str) -> String {
        let key = SigningKey::from_bytes(&self.seed);
        Base64UrlUnpadded::encode_string(&key.sign(payload.as_bytes()).to_bytes())
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(…)")
    }
}

/// Returns the name of a device in the gateway's list: the same at every connect, and different for
/// every device.
///
/// Without it all our devices have the same name, because the gateway names them after the client.
/// Each pairing on the gateway's own host would then remove the devices paired before. A connect
/// without a name also erases the stored name. Source: OpenClaw 2026.9.6,
/// `pruneSupersededSilentPairedDevicesInWorker`, measured.
pub fn display_name(device_id: &str) -> String {
    format!(
        "clawfront-{}",
        device_id.get(..NAME_DIGITS).unwrap_or(device_id)
    )
}

/// Digits of the device id in its name. 32 bits distinguish the devices of one gateway, and are
/// short enough to compare by eye.
const NAME_DIGITS: usize = 8;

/// Returns the device id of a public key: lower-case hex SHA-256.
pub fn device_id(public_key: &[u8; KEY_BYTES]) -> String {
    hex::encode_string(&Sha256::digest(public_key))
}

/// Signs the payload of a [`Proof`]: `DeviceKey::sign` of native programs.
pub type Sign = fn(&DeviceKey, &str) -> String;

/// The text that a device proof signs: the fields of `connect.params` that the gateway pins to the
/// device.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    pub device_id: &'a str,
    pub client_id: &'a str,
    pub client_mode: &'a str,
    pub role: &'a str,
    /// In the order they are sent.
    pub scopes: &'a [&'a str],
    /// Milliseconds since the Unix epoch, at most 120 s from the gateway's clock. Send the
    /// challenge's own `ts`.
    pub signed_at_ms: u64,
    /// The first of `auth.token`, `auth.deviceToken` and `auth.bootstrapToken` that is sent; never
    /// the password.
    pub token: &'a str,
    /// The challenge's nonce.
    pub nonce: &'a str,
    pub platform: &'a str,
    pub device_family: &'a str,
}

impl Proof<'_> {
    /// Returns the signed text, version 3.
    pub fn payload(&self) -> String {
        format!(
            "v3|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
            self.device_id,
            self.client_id,
            self.client_mode,
            self.role,
            self.scopes.join(","),
            self.signed_at_ms,
            self.token,
            self.nonce,
            normalised(self.platform),
            normalised(self.device_family),
        )
    }
}

/// The gateway trims and lower-cases ASCII in the two metadata fields before it signs them.
fn normalised(field: &str) -> String {
    field.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Worker's own signatures: `tests/signer.test.mjs`.
    #[test]
    fn the_vectors_of_rfc_8032_hold() {
        for (seed, public_key, text, signature) in [
            // Section 7.1, test 1.
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            // Section 7.1, test 2.
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "r",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
        ] {
            let base64 =
                |text: &str| Base64UrlUnpadded::encode_string(&hex::decode_vec(text).unwrap());
            let key = DeviceKey::parse(&base64(seed)).unwrap();
            assert_eq!(key.sign(text), base64(signature));
            assert_eq!(key.public_key(), base64(public_key));
        }
    }

    #[test]
    fn only_a_public_key_is_recorded_as_one() {
        let key = DeviceKey::from_seed(&[1; KEY_BYTES]);
        let good = key.public_key();
        for bad in ["", "AQ", good.get(1..).unwrap(), &[&good, "A"].concat()] {
            assert!(!key.set_public_key(bad), "{bad}");
        }
        assert!(key.set_public_key(&good));
    }
}
