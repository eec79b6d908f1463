//! What every parser owes to any input: it returns, and what it accepts it writes so that it reads back the same.
//!
//! Each target is a function over octets. libFuzzer drives it from `tests/fuzz/fuzz_targets`; `tests/replay.rs` runs it
//! over the corpus, over damaged copies of the corpus and over inputs too large to keep. A target panics on a broken promise.

mod carried;
pub mod certificate; // RFC 5922 §7.1, RFC 6120 §13.7.1
pub mod cpim; // RFC 3862
pub mod date; // RFC 3339
pub mod digest; // RFC 7616 §3.3, §3.4
pub mod frame; // the schema of adapters in other processes
pub mod imdn; // RFC 5438, RFC 3994, RFC 3923
pub mod matrix; // Matrix client-server API
pub mod mime; // RFC 2046, RFC 7572 §7
pub mod native; // the native protocol
pub mod pidf; // RFC 3863, RFC 4479, RFC 4480
pub mod sip; // RFC 3261 §7
pub mod sip_mapping; // RFC 7572, RFC 8048
pub mod sip_stream; // RFC 3261 §18.3
pub mod stanza; // RFC 6120 §8, XEP-0114
pub mod stanza_mapping; // RFC 7572, RFC 8048
pub mod streams; // RFC 6120 §4, XEP-0220, XEP-0198
pub mod uri; // RFC 3860 §A.2, RFC 3859 §A.2, RFC 5122 §2.2, RFC 7622 §3.1
pub mod xml_framer; // RFC 6120 §11
pub mod zone; // RFC 1035 §5

/// A function that must return for every input.
pub type Target = fn(&[u8]);

/// All targets by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("certificate", certificate::run),
    ("cpim", cpim::run),
    ("date", date::run),
    ("digest", digest::run),
    ("frame", frame::run),
    ("imdn", imdn::run),
    ("matrix", matrix::run),
    ("mime", mime::run),
    ("native", native::run),
    ("pidf", pidf::run),
    ("sip", sip::run),
    ("sip_mapping", sip_mapping::run),
    ("sip_stream", sip_stream::run),
    ("stanza", stanza::run),
    ("stanza_mapping", stanza_mapping::run),
    ("streams", streams::run),
    ("uri", uri::run),
    ("xml_framer", xml_framer::run),
    ("zone", zone::run),
];
