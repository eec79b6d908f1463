//! `interlingua inspect cpim`

use clap::ValueEnum;
use cpim::Profile;
use cpim::report::CpimReport;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Whose rules an object has to satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// RFC 3862 alone
    #[value(alias = "rcs")]
    Base,
    /// MSRP (RFC 4975 §13)
    Msrp,
    /// What a gateway needs to translate
    Gateway,
}

/// The object, with its faults and the digests by which a relayed copy is compared.
pub fn inspect(input: &[u8], profile: ProfileName) -> serde_json::Result<Value> {
    let profile = match profile {
        ProfileName::Base => Profile::Base,
        ProfileName::Msrp => Profile::Msrp,
        ProfileName::Gateway => Profile::Gateway,
    };
    let report = CpimReport::inspect(input, profile);
    let signed = report.signed_part.as_ref().map(|part| part.offset..part.offset + part.length);
    let mut report = serde_json::to_value(report)?;
    add_digest(Some(&mut report), Some(input));
    add_digest(report.get_mut("signed_part"), signed.and_then(|range| input.get(range)));
    Ok(report)
}

fn add_digest(report: Option<&mut Value>, octets: Option<&[u8]>) {
    if let (Some(fields), Some(octets)) = (report.and_then(Value::as_object_mut), octets) {
        let digest = Sha256::digest(octets).iter().map(|octet| format!("{octet:02x}")).collect();
        fields.insert("sha256".to_owned(), Value::String(digest));
    }
}
