//! `interlingua inspect cpim`

use clap::ValueEnum;
use cpim::Profile;
use cpim::report::CpimReport;
use serde_json::Value;

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

/// The object, with its faults.
pub fn inspect(input: &[u8], profile: ProfileName) -> serde_json::Result<Value> {
    let profile = match profile {
        ProfileName::Base => Profile::Base,
        ProfileName::Msrp => Profile::Msrp,
        ProfileName::Gateway => Profile::Gateway,
    };
    serde_json::to_value(CpimReport::inspect(input, profile))
}
