//! Published state (RFC 3903): what stands under which entity tag, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::NEVER_TOO_BRIEF;

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy)]
pub struct PublicationLimits {
    /// The shortest publication in seconds.
    pub min_expires: u32,
    /// The longest; a longer one is shortened.
    pub max_expires: u32,
    /// Publications of one resource.
    pub per_resource: usize,
    /// Publications of all; of as many resources whose publications have all ended it is remembered that they have.
    pub all: usize,
}

/// What a PUBLISH asks for.
#[derive(Debug)]
pub struct Publication<'a, B> {
    /// SIP-If-Match.
    pub tag: Option<&'a str>,
    /// In seconds; zero removes.
    pub expires: u32,
    /// The state; none refreshes what is there.
    pub body: Option<B>,
}

/// Why a PUBLISH is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// RFC 3903 §6, step 4.
    #[error("nothing is published under this entity tag")]
    UnknownTag,
    /// RFC 3903 §6, step 5.
    #[error("shorter than {least} s")]
    TooBrief {
        /// What would be taken.
        least: u32,
    },
    /// RFC 3903 §4.2: an initial publication has a body.
    #[error("no state and no entity tag")]
    NoBody,
    /// A local limit.
    #[error("too much is published")]
    Full,
}

impl PublishError {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::UnknownTag => 412,
            Self::TooBrief { .. } => 423,
            Self::NoBody => 400,
            Self::Full => 503,
        }
    }
}

/// The publications of many resources.
#[derive(Debug)]
pub struct Publications<B> {
    limits: PublicationLimits,
    resources: BTreeMap<Box<str>, Resource<B>>,
    /// When each publication ends: resource and entity tag.
    dues: BTreeSet<(Instant, Box<str>, Box<str>)>,
    /// Resources whose publications have all ended, the longest ago first.
    ended: BTreeSet<(Instant, Box<str>)>,
    count: usize,
}

#[derive(Debug)]
struct Resource<B> {
    /// In the order of their first publication.
    entries: Vec<Entry<B>>,
    /// Since when there are none.
    ended: Option<Instant>,
}

#[derive(Debug)]
struct Entry<B> {
    tag: Box<str>,
    until: Instant,
    body: B,
}

impl<B> Publications<B> {
    /// Nothing published.
    pub fn new(limits: PublicationLimits) -> Self {
        Self { limits, resources: BTreeMap::new(), dues: BTreeSet::new(), ended: BTreeSet::new(), count: 0 }
    }

    /// What stands for a resource; none when it has never published anything, or that was long ago.
    pub fn of(&self, resource: &str) -> Option<impl Iterator<Item = &B>> {
        self.resources.get(resource).map(|known| known.entries.iter().map(|entry| &entry.body))
    }

    /// Takes a PUBLISH; `fresh` is the entity tag that what it leaves is known by (RFC 3903 §4.1: another one each time).
    ///
    /// Returns for how many seconds it stands.
    pub fn handle_publish(
        &mut self,
        resource: &str,
        publication: Publication<'_, B>,
        fresh: &str,
        now: Instant,
    ) -> Result<u32, PublishError> {
        let Publication { tag, expires, body } = publication;
        let entries = self.resources.get(resource).map(|known| &known.entries);
        let at = match tag {
            Some(tag) => {
                let found = entries.and_then(|entries| entries.iter().position(|entry| &*entry.tag == tag));
                Some(found.ok_or(PublishError::UnknownTag)?)
            }
            None => None,
        };
        let least = self.limits.min_expires;
        if expires > 0 && expires < least.min(NEVER_TOO_BRIEF) {
            return Err(PublishError::TooBrief { least });
        }
        let full = self.count >= self.limits.all || entries.map_or(0, Vec::len) >= self.limits.per_resource;
        let expires = expires.min(self.limits.max_expires);
        let until = now + Duration::from_secs(expires.into());
        match (at, body) {
            (None, None) => return Err(PublishError::NoBody),
            (None, Some(_)) if expires > 0 && full => return Err(PublishError::Full),
            (None, Some(body)) => {
                let known = self.known(resource);
                if expires > 0 {
                    known.entries.push(Entry { tag: fresh.into(), until, body });
                    self.count += 1;
                }
            }
            (Some(at), body) => {
                let entries = &mut self.known(resource).entries;
                let Some(entry) = entries.get_mut(at) else { return Err(PublishError::UnknownTag) };
                let due = (entry.until, resource.into(), std::mem::replace(&mut entry.tag, fresh.into()));
                entry.until = until;
                if let Some(body) = body {
                    entry.body = body;
                }
                if expires == 0 {
                    entries.remove(at);
                    self.count -= 1;
                }
                self.dues.remove(&due);
            }
        }
        if expires > 0 {
            self.dues.insert((until, resource.into(), fresh.into()));
        }
        self.note_end(resource, now);
        Ok(expires)
    }

    fn known(&mut self, resource: &str) -> &mut Resource<B> {
        self.resources.entry(resource.into()).or_insert_with(|| Resource { entries: Vec::new(), ended: None })
    }

    /// Keeps in order which resources have no publication left, and forgets the oldest of too many.
    fn note_end(&mut self, resource: &str, now: Instant) {
        let Some(known) = self.resources.get_mut(resource) else { return };
        let ended = known.entries.is_empty().then_some(now);
        if let Some(before) = std::mem::replace(&mut known.ended, ended) {
            self.ended.remove(&(before, resource.into()));
        }
        if let Some(now) = ended {
            self.ended.insert((now, resource.into()));
        }
        if self.ended.len() > self.limits.all
            && let Some((_, oldest)) = self.ended.pop_first()
        {
            self.resources.remove(&oldest);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.dues.first().map(|(due, ..)| *due)
    }

    /// Ends what nobody has refreshed; returns the next resource that lost something.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Box<str>> {
        while self.dues.first().is_some_and(|(due, ..)| *due <= now) {
            let (_, resource, _) = self.dues.pop_first()?;
            let Some(known) = self.resources.get_mut(&resource) else { continue };
            let before = known.entries.len();
            known.entries.retain(|entry| entry.until > now);
            let lost = before - known.entries.len();
            self.count -= lost;
            // Another one of it may have ended at the same time.
            if lost > 0 {
                self.note_end(&resource, now);
                return Some(resource);
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its origin once")]
mod tests {
    use super::*;

    const LIMITS: PublicationLimits = PublicationLimits { min_expires: 60, max_expires: 3600, per_resource: 2, all: 3 };

    fn publish(
        expires: u32,
        tag: Option<&'static str>,
        body: Option<&'static str>,
    ) -> Publication<'static, &'static str> {
        Publication { tag, expires, body }
    }

    fn of(publications: &Publications<&'static str>, resource: &str) -> Option<Vec<&'static str>> {
        publications.of(resource).map(|bodies| bodies.copied().collect())
    }

    // checks: PUB-001, PUB-003, PUB-004, PUB-005, PUB-006
    #[test]
    fn rfc3903_s4_1_initial_refresh_modify_and_remove() {
        let (mut all, now) = (Publications::new(LIMITS), Instant::now());
        assert_eq!(of(&all, "r"), None);
        assert_eq!(all.handle_publish("r", publish(600, None, None), "t0", now), Err(PublishError::NoBody));
        assert_eq!(all.handle_publish("r", publish(600, None, Some("a")), "t1", now), Ok(600));
        assert_eq!(all.handle_publish("r", publish(9999, Some("t1"), None), "t2", now), Ok(3600));
        assert_eq!(all.handle_publish("r", publish(600, Some("t1"), None), "t3", now), Err(PublishError::UnknownTag));
        assert_eq!(all.handle_publish("r", publish(600, Some("t2"), Some("b")), "t3", now), Ok(600));
        assert_eq!(of(&all, "r"), Some(vec!["b"]));
        assert_eq!(all.handle_publish("r", publish(0, Some("t3"), None), "t4", now), Ok(0));
        assert_eq!(of(&all, "r"), Some(vec![]), "it is known that nothing stands");
    }

    // checks: PUB-008
    #[test]
    fn rfc3903_s6_too_brief_and_too_much_are_refused() {
        let (mut all, now) = (Publications::new(LIMITS), Instant::now());
        let brief = all.handle_publish("r", publish(59, None, Some("a")), "t", now);
        assert_eq!(brief, Err(PublishError::TooBrief { least: 60 }));
        assert_eq!(brief.unwrap_err().status(), 423);
        for tag in ["t1", "t2"] {
            all.handle_publish("r", publish(60, None, Some("a")), tag, now).unwrap();
        }
        assert_eq!(all.handle_publish("r", publish(60, None, Some("a")), "t3", now), Err(PublishError::Full));
        all.handle_publish("s", publish(60, None, Some("a")), "t4", now).unwrap();
        assert_eq!(all.handle_publish("u", publish(60, None, Some("a")), "t5", now), Err(PublishError::Full));
        assert_eq!(all.handle_publish("r", publish(60, Some("t1"), Some("b")), "t6", now), Ok(60));
    }

    // checks: PUB-006, PUB-008
    #[test]
    fn rfc3903_s6_what_has_ended_is_forgotten_in_the_end_and_a_refresh_leaves_nothing_behind() {
        let (mut all, now) = (Publications::new(LIMITS), Instant::now());
        all.handle_publish("r", publish(60, None, Some("a")), "t0", now).unwrap();
        for (number, tag) in ["t0", "t1", "t2", "t3"].iter().enumerate() {
            let fresh = ["t1", "t2", "t3", "t4"][number];
            let later = now + Duration::from_secs(number as u64);
            all.handle_publish("r", publish(60, Some(tag), None), fresh, later).unwrap();
        }
        assert_eq!(all.dues.len(), 1);
        all.handle_publish("r", publish(0, Some("t4"), None), "t5", now).unwrap();
        assert_eq!((all.dues.len(), all.poll_timeout(), of(&all, "r")), (0, None, Some(vec![])));
        for (seconds, resource) in [(1, "s"), (2, "u"), (3, "v"), (4, "s")] {
            let later = now + Duration::from_secs(seconds);
            all.handle_publish(resource, publish(0, None, Some("a")), "t", later).unwrap();
        }
        assert_eq!(["r", "s", "u", "v"].map(|resource| of(&all, resource).is_some()), [false, true, true, true]);
        all.handle_publish("u", publish(60, None, Some("b")), "t6", now + Duration::from_secs(5)).unwrap();
        assert_eq!((all.ended.len(), all.resources.len()), (2, 3), "what is published again has not ended");
    }

    #[test]
    fn what_is_not_refreshed_ends() {
        let (mut all, now) = (Publications::new(LIMITS), Instant::now());
        all.handle_publish("r", publish(60, None, Some("a")), "t1", now).unwrap();
        all.handle_publish("r", publish(90, None, Some("b")), "t2", now).unwrap();
        let half = now + Duration::from_secs(30);
        all.handle_publish("r", publish(60, Some("t1"), None), "t3", half).unwrap();
        assert_eq!(all.handle_timeout(now + Duration::from_secs(60)), None, "refreshed in between");
        let later = now + Duration::from_secs(90);
        assert_eq!((all.handle_timeout(later), all.handle_timeout(later)), (Some("r".into()), None));
        assert_eq!((of(&all, "r"), all.poll_timeout()), (Some(vec![]), None));
    }
}
