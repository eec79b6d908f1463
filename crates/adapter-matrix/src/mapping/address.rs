//! Addresses and Matrix user ids (Matrix appendices, user identifiers).

use adapter_api::model::{Address, Domain};
use std::fmt::Write;

/// The longest user id in octets.
const MAX_USER_ID: usize = 255;

/// How this homeserver's users and our ghosts are called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) domain: Domain,
    /// What ghosts' names begin with.
    pub(crate) ghosts: String,
}

impl Names {
    /// The id of the ghost that stands for somebody elsewhere; none where it would be too long.
    ///
    /// Matrix appendices, mapping from other character sets: what may not stand there is `=` and two hexadecimal digits.
    pub(crate) fn ghost(&self, address: &Address) -> Option<String> {
        let mut id = format!("@{}", self.ghosts);
        for octet in address.to_string().bytes() {
            if is_plain(octet) {
                id.push(char::from(octet));
            } else {
                // Writing to a string can't fail.
                let _ = write!(id, "={octet:02x}");
            }
        }
        let _ = write!(id, ":{}", self.domain);
        (id.len() <= MAX_USER_ID).then_some(id)
    }

    /// Whom a ghost stands for; none for other users, and for names that no ghost of ours has.
    pub(crate) fn behind(&self, user_id: &str) -> Option<Address> {
        let written = self.local(user_id)?.strip_prefix(&self.ghosts)?;
        let mut octets = Vec::with_capacity(written.len());
        let mut rest = written.bytes();
        while let Some(octet) = rest.next() {
            octets.push(if octet == b'=' { 16 * digit(rest.next()?)? + digit(rest.next()?)? } else { octet });
        }
        let address = Address::parse_bare(&String::from_utf8(octets).ok()?).ok()?;
        // One name for each: others are nobody's.
        (self.ghost(&address).as_deref() == Some(user_id)).then_some(address)
    }

    /// The id of a user of the homeserver; none where Matrix has no such name.
    pub(crate) fn user(&self, address: &Address) -> Option<String> {
        let local = address.local();
        let valid = local.bytes().all(|octet| is_plain(octet) || b"=/+".contains(&octet));
        let id = format!("@{local}:{}", self.domain);
        let ours = *address.domain() == self.domain && valid && !local.starts_with(&self.ghosts);
        (ours && id.len() <= MAX_USER_ID).then_some(id)
    }

    /// The address of a user of the homeserver; none for ghosts and for users of other servers.
    pub(crate) fn address(&self, user_id: &str) -> Option<Address> {
        let local = self.local(user_id)?;
        let address = Address::new(local, self.domain.clone()).ok()?;
        (!local.starts_with(&self.ghosts)).then_some(address)
    }

    fn local<'a>(&self, user_id: &'a str) -> Option<&'a str> {
        let (local, domain) = user_id.strip_prefix('@')?.split_once(':')?;
        (domain == self.domain.as_str() && user_id.len() <= MAX_USER_ID).then_some(local)
    }
}

/// What stands for itself in a ghost's name.
pub(crate) fn is_plain(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"._-".contains(&octet)
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { domain: "matrix.example".parse().unwrap(), ghosts: "_il_".to_owned() }
    }

    fn address(text: &str) -> Address {
        Address::parse_bare(text).unwrap()
    }

    #[test]
    fn ghosts_stand_for_one_address_each() {
        let romeo = address("romeo@example.com");
        assert_eq!(names().ghost(&romeo).unwrap(), "@_il_romeo=40example.com:matrix.example");
        for local in ["o'malley", "a=b", "A_b", "jürgen", "100%sure", "x y", "=40"] {
            let one = address(&format!("{local}@example.com"));
            let ghost = names().ghost(&one).unwrap();
            assert_eq!(names().behind(&ghost), Some(one), "{ghost}");
        }
        for nobody in [
            "@_il_romeo=40example.com:other.example",
            "@_il_=72omeo=40example.com:matrix.example",
            "@_il_romeo:matrix.example",
            "@_il_romeo=4:matrix.example",
            "@_il_romeo=40Example.com:matrix.example",
            "_il_",
        ] {
            assert_eq!(names().behind(nobody), None, "{nobody}");
        }
        assert_eq!(names().ghost(&address(&format!("{}@example.com", "x".repeat(250)))), None);
    }

    #[test]
    fn users_are_those_of_the_homeserver_who_are_no_ghosts() {
        let juliet = address("juliet@matrix.example");
        assert_eq!(names().user(&juliet).unwrap(), "@juliet:matrix.example");
        assert_eq!(names().address("@juliet:matrix.example"), Some(juliet));
        for text in ["juliet@other.example", "Juliet@matrix.example", "jürgen@matrix.example", "_il_x@matrix.example"]
        {
            assert_eq!(names().user(&address(text)), None, "{text}");
        }
        for id in ["@juliet:other.example", "@_il_x:matrix.example", "juliet", "@:matrix.example"] {
            assert_eq!(names().address(id), None, "{id}");
        }
    }
}
