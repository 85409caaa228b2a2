// Signs with the key of the gateway's device.

/** The bytes before the seed of an Ed25519 key in PKCS #8. Source: RFC 8410, section 7. */
const PKCS8 = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

const ALGORITHM = "Ed25519";

/** A private key. The runtime derives the public one. */
export class Signer {
  constructor(seed) {
    const bytes = new Uint8Array([...PKCS8, ...seed]);
    this.key = crypto.subtle.importKey("pkcs8", bytes, ALGORITHM, true, ["sign"]);
  }

  /** Returns the public key, in base64url. */
  async publicKey() {
    const { x } = await crypto.subtle.exportKey("jwk", await this.key);
    return x;
  }

  /** Returns the signature of a text, in base64url. */
  async sign(text) {
    const bytes = new TextEncoder().encode(text);
    const signature = await crypto.subtle.sign(ALGORITHM, await this.key, bytes);
    return new Uint8Array(signature).toBase64({ alphabet: "base64url", omitPadding: true });
  }
}
