//! An authority for tests: issues certificates with any names, times and purposes, and writes them as files.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};

use super::files::{CertificateFiles, TlsSettings, Trust};

/// A name for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum San<'a> {
    /// `dNSName`.
    Dns(&'a str),
    /// `uniformResourceIdentifier`.
    Uri(&'a str),
    /// RFC 4985: as `_xmpp-server.example.com`.
    Srv(&'a str),
    /// RFC 6120 §13.7.1.4: a JID.
    Xmpp(&'a str),
}

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Issued {
    der: Vec<u8>,
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// Its key in PEM.
    pub key_pem: String,
}

/// How a certificate differs from an ordinary one.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Begin and end of its validity.
    pub validity: (SystemTime, SystemTime),
    /// For servers alone, as public authorities issue them, unless for clients alone.
    pub for_clients: bool,
    /// Signed by its own key.
    pub self_signed: bool,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Variant {
    fn default() -> Self {
        let now = SystemTime::now();
        Self { validity: (now - DAY, now + DAY * 90), for_clients: false, self_signed: false }
    }
}

impl Variant {
    /// Past its time.
    pub fn expired() -> Self {
        let now = SystemTime::now();
        Self { validity: (now - DAY * 90, now - DAY), ..Self::default() }
    }

    /// Ahead of its time.
    pub fn not_yet_valid() -> Self {
        let now = SystemTime::now();
        Self { validity: (now + DAY, now + DAY * 90), ..Self::default() }
    }

    /// Signed by its own key.
    pub fn self_signed() -> Self {
        Self { self_signed: true, ..Self::default() }
    }
}

impl Authority {
    /// An authority of this name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("keys can be generated");
        let mut params = params(name, &Variant::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages.clear();
        let pem = params.self_signed(&key).expect("the parameters are complete").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's own certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// An ordinary certificate with these names.
    pub fn issue(&self, names: &[San<'_>]) -> Issued {
        self.issue_variant(names, &Variant::default())
    }

    /// A certificate that is not ordinary.
    pub fn issue_variant(&self, names: &[San<'_>], variant: &Variant) -> Issued {
        let key = KeyPair::generate().expect("keys can be generated");
        let mut params = params("end entity", variant);
        if !names.is_empty() {
            params.custom_extensions.push(subject_alternative_names(names));
        }
        let certificate = match variant.self_signed {
            true => params.self_signed(&key),
            false => params.signed_by(&key, &self.issuer),
        };
        let certificate = certificate.expect("the parameters are complete");
        Issued { der: certificate.der().to_vec(), certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// Writes `NAME.pem` and `NAME.key` of `issued`, and this authority as `ca.pem`, into `folder`; settings that use them.
    pub fn settings(&self, folder: &Path, issued: &[(&str, &Issued)]) -> TlsSettings {
        let trusted = folder.join("ca.pem");
        std::fs::write(&trusted, &self.pem).expect("the folder can be written to");
        let certificates = issued.iter().map(|(name, issued)| issued.write(folder, name)).collect();
        TlsSettings { certificates, ordered: None, trust: vec![Trust::File(trusted)] }
    }
}

impl Issued {
    /// The certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.der
    }

    /// Writes `NAME.pem` and `NAME.key` into `folder`.
    pub fn write(&self, folder: &Path, name: &str) -> CertificateFiles {
        let (certificate, private_key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate_pem).expect("the folder can be written to");
        std::fs::write(&private_key, &self.key_pem).expect("the folder can be written to");
        CertificateFiles { certificate, private_key }
    }
}

fn params(name: &str, variant: &Variant) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (variant.validity.0.into(), variant.validity.1.into());
    params.extended_key_usages.push(match variant.for_clients {
        true => ExtendedKeyUsagePurpose::ClientAuth,
        false => ExtendedKeyUsagePurpose::ServerAuth,
    });
    params
}

/// Written octet by octet, for SRVNames are of a string type that the library does not write.
fn subject_alternative_names(names: &[San<'_>]) -> CustomExtension {
    let names: Vec<u8> = names.iter().flat_map(general_name).collect();
    CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &names))
}

fn general_name(name: &San<'_>) -> Vec<u8> {
    match name {
        San::Dns(name) => der(0x82, name.as_bytes()),
        San::Uri(uri) => der(0x86, uri.as_bytes()),
        San::Srv(name) => other_name(7, 0x16, name),
        San::Xmpp(address) => other_name(5, 0x0c, address),
    }
}

/// An `otherName` of 1.3.6.1.5.5.7.8.`arc`.
fn other_name(arc: u8, string_type: u8, text: &str) -> Vec<u8> {
    let oid = der(0x06, &[0x2b, 6, 1, 5, 5, 7, 8, arc]);
    let value = der(0xa0, &der(string_type, text.as_bytes()));
    der(0xa0, &[oid, value].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            let [.., high, low] = length.to_be_bytes();
            out.extend([0x82, high, low]);
        }
    }
    out.extend(content);
    out
}
