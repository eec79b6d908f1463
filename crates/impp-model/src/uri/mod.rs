//! The `im:`, `pres:` and `xmpp:` URI schemes.

mod error;
mod impp; // RFC 3860 §A.2, RFC 3859 §A.2
mod percent; // RFC 3986 §2.1
mod report;
mod xmpp; // RFC 5122 §2.2

pub use error::UriError;
pub(crate) use impp::write_local;
pub use impp::{ImppUri, Scheme};
pub use percent::percent_encode;
pub use report::{ImppUriReport, XmppUriReport, compare};
pub use xmpp::XmppUri;
