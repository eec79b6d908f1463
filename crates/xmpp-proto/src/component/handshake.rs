//! The proof of the shared secret (XEP-0114 §3).

use sha1::{Digest, Sha1};

use crate::secret::{Secret, hex};

/// XEP-0114 §3: lower-case hexadecimal SHA-1 of stream id and secret.
pub fn handshake_digest(stream_id: &str, secret: &Secret) -> String {
    let digest = Sha1::new().chain_update(stream_id).chain_update(secret.expose()).finalize();
    hex(&digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: CMPN-002
    #[test]
    fn xep0114_s3_example_digest() {
        let digest = handshake_digest("3BF96D32", &Secret::new("test"));
        assert_eq!(digest, "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e");
    }
}
