//! RFC 3862 §2.2, §6: passing an object on without touching it.

/// An object on its way through, of which a relay may read headers and change nothing.
///
/// Nothing is checked and nothing is allocated: a relay passes on what it could not read itself, since only the
/// recipient interprets. [`octets`](Self::octets) gives back the very octets it was made from.
///
/// ```
/// use cpim::RelayView;
///
/// let octets = b"From: <im:a@example.com>\r\nTo: <im:b@example.org>\r\n\r\nContent-Type: text/plain\r\n\r\nhello";
/// let view = RelayView::new(octets);
/// assert_eq!(view.first("To"), Some(&b"<im:b@example.org>"[..]));
/// assert_eq!(view.content(), Some(&b"Content-Type: text/plain\r\n\r\nhello"[..]));
/// assert_eq!(view.octets(), octets);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayView<'a> {
    octets: &'a [u8],
}

impl<'a> RelayView<'a> {
    /// Looks at an object, sound or not.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    /// The object, to be passed on.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The lines before the first blank line, without their line ends, as they are.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.octets;
        std::iter::from_fn(move || {
            let (line, after) = split_line(rest)?;
            rest = after;
            (!line.is_empty()).then_some(line)
        })
    }

    /// The value of the first header written exactly so, prefix included.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.lines().find_map(|line| {
            let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
            Some(value.strip_prefix(b" ").unwrap_or(value))
        })
    }

    /// What follows the first blank line.
    pub fn content(&self) -> Option<&'a [u8]> {
        let mut rest = self.octets;
        loop {
            let (line, after) = split_line(rest)?;
            if line.is_empty() {
                return Some(after);
            }
            rest = after;
        }
    }
}

fn split_line(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', octets)?;
    let (line, rest) = octets.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // checks: MF-05, MF-17, CPM-008, CPM-009
    #[test]
    fn rfc3862_s2_2_octets_are_never_changed() {
        for octets in [&b""[..], b"\r\n", b"From:x\n\xff\r\n\r\n\r\nbody", b"no end", b" folded\r\n\t\r\n"] {
            let view = RelayView::new(octets);
            assert_eq!(view.octets(), octets);
        }
        let broken = RelayView::new(b"From:x\n\xff\r\nTo:  y\r\n\r\n\r\nbody");
        assert_eq!(broken.lines().count(), 3);
        assert_eq!((broken.first("From"), broken.first("To")), (Some(&b"x"[..]), Some(&b" y"[..])));
        assert_eq!(broken.first("cc"), None);
        assert_eq!(broken.content(), Some(&b"\r\nbody"[..]));
        assert_eq!(RelayView::new(b"no end").content(), None);
    }
}
