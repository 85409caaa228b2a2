//! Signs with the key of the gateway's device, by the runtime's Web Crypto: `signer.js`. It is
//! smaller than code of our own, which was a thirtieth of the Worker.

use clawfront_core::gateway::device::DeviceKey;
use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::futures::JsFuture;

#[wasm_bindgen(module = "/src/runtime/signer.js")]
extern "C" {
    pub(crate) type Signer;

    #[wasm_bindgen(constructor)]
    fn new(seed: &[u8]) -> Signer;

    #[wasm_bindgen(method, js_name = publicKey)]
    fn public_key(this: &Signer) -> Promise;

    #[wasm_bindgen(method)]
    fn sign(this: &Signer, text: &str) -> Promise;
}

impl Signer {
    /// Makes a signer with the key of `device`, and completes the device with its public key.
    pub(crate) async fn of(device: &DeviceKey) -> Option<Self> {
        let signer = Self::new(device.seed());
        let public = JsFuture::from(signer.public_key())
            .await
            .ok()?
            .as_string()?;
        device.set_public_key(&public).then_some(signer)
    }

    /// Returns the signature of a text, in base64url without padding.
    pub(crate) async fn signature(&self, text: &str) -> Option<String> {
        JsFuture::from(self.sign(text)).await.ok()?.as_string()
    }
}
