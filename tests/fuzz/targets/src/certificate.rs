//! Certificates that peers show.

use impp_model::Domain;
use transport::tls::CertificateNames;

/// Reads `input` as a certificate in DER: what it is said to prove it proves, and nothing above it.
pub fn run(input: &[u8]) {
    let names = CertificateNames::read(input);
    for name in names.xmpp_domains() {
        match name.strip_prefix("*.") {
            Some(parent) => {
                let parent = Domain::parse(parent).expect("what was read is a domain");
                let child = Domain::parse_host(&format!("a.{parent}"));
                assert!(child.is_err() || child.is_ok_and(|child| names.prove_xmpp(&child)), "*.{parent}");
            }
            None => {
                let domain = Domain::parse_host(&name).expect("what was read is a domain");
                assert!(names.prove_xmpp(&domain) && names.contain(&domain), "{domain}");
            }
        }
    }
    for top in ["com", "test"].iter().filter_map(|top| Domain::parse_host(&format!("a.{top}")).ok()) {
        let literally = names.all().iter().any(|name| name.ends_with(top.as_str()));
        assert!(literally || !names.prove_host(&top), "nobody holds all of a top-level domain");
    }
}
