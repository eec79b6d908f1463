//! One value of WWW-Authenticate or Authorization, and the judgement of it.

use std::time::Duration;

use bytes::Bytes;
use sip_proto::digest::{Challenge, Credentials, Hash, Password, Server, Verdict};
use sip_proto::header_id::HeaderId;
use sip_proto::message::Message;

/// Reads `input` as a challenge and as credentials.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(challenge) = Challenge::parse(text) {
        assert_eq!(Challenge::parse(&challenge.to_string()), Ok(challenge), "{text}");
    }
    if let Ok(credentials) = Credentials::parse(text) {
        judge(&credentials);
        assert_eq!(Credentials::parse(&credentials.to_string()), Ok(credentials), "{text}");
    }
}

/// Nobody here has the key of a nonce: whatever the response, nothing is proven.
fn judge(credentials: &Credentials) {
    let request = format!(
        "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: x\r\nCSeq: 1 MESSAGE\r\nAuthorization: {credentials}\r\n\r\n"
    );
    let Ok(request) = Message::parse(Bytes::from(request)) else { return };
    let password = Password::new("secret");
    let mut server = Server::new(credentials.realm.as_str(), &[Hash::Sha256, Hash::Md5], [0x5a; 32]);
    let verdict = server.verify(&request, HeaderId::Authorization, |_| Some(&password), Duration::ZERO);
    assert!(!matches!(verdict, Verdict::Proven(_)), "{credentials}");
}
