//! Entity capabilities: one hash that stands for an identity and its features (XEP-0115).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// XEP-0115 §5.1: the verification string of one identity without language and of its features, in any order.
pub fn version<'a>(category: &str, kind: &str, name: &str, features: impl IntoIterator<Item = &'a str>) -> String {
    let mut features: Vec<&str> = features.into_iter().collect();
    // i;octet: the order of the octets.
    features.sort_unstable();
    features.dedup();
    let mut hash = Sha1::new();
    hash.update(format!("{category}/{kind}//{name}<"));
    features.iter().for_each(|feature| hash.update(format!("{feature}<")));
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: DSC-005
    #[test]
    fn xep0115_s5_2_the_example() {
        let features = [
            "http://jabber.org/protocol/muc",
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/caps",
            "http://jabber.org/protocol/disco#items",
        ];
        assert_eq!(version("client", "pc", "Exodus 0.9.1", features), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    // checks: DSC-005
    #[test]
    fn xml_28_caps_hash() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/interwork/xmpp-layer.json")).unwrap();
        let test = file["tests"].as_array().unwrap().iter().find(|test| test["id"] == "XML-28").unwrap();
        let version =
            version("gateway", "simple", "CPIM Gateway", ["urn:xmpp:ping", "http://jabber.org/protocol/disco#info"]);
        assert_eq!(test["expect"][0]["property"], format!("c ver='{version}' hash='sha-1'"));
    }
}
