use super::{
    escape::{escape_at, push_escape},
    sip::{SipUri, UriParam},
};

/// RFC 3261 §19.1.4: parameters that never match when only one URI has them; what is left out is not its default.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl SipUri<'_> {
    /// RFC 3261 §19.1.4: whether both name the same resource. Not transitive.
    pub fn equivalent(&self, other: &SipUri<'_>) -> bool {
        self.scheme == other.scheme
            && same_exactly(self.user, other.user)
            && same_exactly(self.password, other.password)
            && self.host.matches(&other.host)
            && self.port == other.port
            && params_match(self, other)
            && params_match(other, self)
            && headers_match(self, other)
            && headers_match(other, self)
    }
}

fn same_exactly(a: Option<&str>, b: Option<&str>) -> bool {
    a == b || matches!((a, b), (Some(a), Some(b)) if canonical(a) == canonical(b))
}

/// Every parameter of `a` that `b` has as well is the same there; those that must not differ are there.
fn params_match(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    a.params().all(|param| {
        let name = canonical(param.name);
        match b.params().find(|candidate| canonical(candidate.name).eq_ignore_ascii_case(&name)) {
            Some(found) => same_value(&param, &found),
            None => !NEVER_IGNORED.iter().any(|never| never.eq_ignore_ascii_case(&name)),
        }
    })
}

/// Every header of `a` is in `b`.
fn headers_match(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    a.headers().all(|header| {
        let name = canonical(header.name);
        b.headers()
            .any(|candidate| canonical(candidate.name).eq_ignore_ascii_case(&name) && same_value(&header, &candidate))
    })
}

fn same_value(a: &UriParam<'_>, b: &UriParam<'_>) -> bool {
    match (a.value, b.value) {
        (Some(a), Some(b)) => canonical(a).eq_ignore_ascii_case(&canonical(b)),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Escapes of characters outside the reserved set resolved, the others in upper case.
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match escape_at_front(*first, after) {
            Some((octet, behind)) => {
                rest = behind;
                if octet.is_ascii_graphic() && !reserved(octet) {
                    out.push(char::from(octet))
                } else {
                    push_escape(&mut out, octet)
                }
            }
            None => out.push(char::from(*first)),
        }
    }
    out
}

fn escape_at_front(first: u8, after: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, behind @ ..] = after else { return None };
    escape_at(&[first, *high, *low]).map(|(octet, _)| (octet, behind))
}

/// RFC 3261 §25.1 `reserved`, and the escape character itself.
const fn reserved(octet: u8) -> bool {
    matches!(octet, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',' | b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equivalent(a: &str, b: &str) -> bool {
        let (a, b) = (SipUri::parse(a).unwrap(), SipUri::parse(b).unwrap());
        assert_eq!(a.equivalent(&b), b.equivalent(&a));
        a.equivalent(&b)
    }

    // checks: URI-10, ADR-034
    #[test]
    fn rfc3261_s19_1_4_equivalent() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(equivalent(a, b), "{a} {b}");
        }
    }

    // checks: URI-10, ADR-034
    #[test]
    fn rfc3261_s19_1_4_not_equivalent() {
        for (a, b) in [
            ("SIP:ALICE@AtlanTa.CoM;Transport=udp", "sip:alice@AtlanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:a%40b@c", "sip:a%3Bb@c"),
            ("sip:a%3Bb@c", "sip:a;b@c"),
            ("sip:a@c", "sip:a:@c"),
            ("sip:a@c", "sips:a@c"),
        ] {
            assert!(!equivalent(a, b), "{a} {b}");
        }
    }
}
