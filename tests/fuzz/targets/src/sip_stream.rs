//! SIP over streams: how octets are cut changes nothing.

/// The first octet says how the rest is cut.
pub fn run(input: &[u8]) {
    sip_proto::fuzz::stream(input);
}
