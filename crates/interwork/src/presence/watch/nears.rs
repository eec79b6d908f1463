//! The watcher's own subscriptions: nearly always one, which takes no memory of its own.

use super::Near;

/// Subscriptions of one watcher.
#[derive(Debug, Clone)]
#[allow(clippy::box_collection, reason = "one word, for several are rare")]
pub(super) enum Nears {
    One(Near),
    Other(Option<Box<Vec<Near>>>),
}

impl Nears {
    pub(super) fn as_slice(&self) -> &[Near] {
        match self {
            Self::One(near) => std::slice::from_ref(near),
            Self::Other(Some(several)) => several,
            Self::Other(None) => &[],
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Near> {
        match self {
            Self::One(near) => (index == 0).then_some(near),
            Self::Other(several) => several.as_mut()?.get_mut(index),
        }
    }

    pub(super) fn push(&mut self, near: Near) {
        let mut all = std::mem::take(self).into_vec();
        all.push(near);
        *self = all.into();
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Near> {
        let mut all = std::mem::take(self).into_vec();
        let found = (index < all.len()).then(|| all.remove(index));
        *self = all.into();
        found
    }

    pub(super) fn retain(&mut self, which: impl Fn(&Near) -> bool) {
        let mut all = std::mem::take(self).into_vec();
        all.retain(which);
        *self = all.into();
    }

    pub(super) fn into_vec(self) -> Vec<Near> {
        match self {
            Self::One(near) => vec![near],
            Self::Other(several) => several.map(|several| *several).unwrap_or_default(),
        }
    }
}

impl Default for Nears {
    fn default() -> Self {
        Self::Other(None)
    }
}

impl From<Vec<Near>> for Nears {
    fn from(mut all: Vec<Near>) -> Self {
        match (all.pop(), all.is_empty()) {
            (None, _) => Self::default(),
            (Some(only), true) => Self::One(only),
            (Some(last), false) => {
                all.push(last);
                Self::Other(Some(Box::new(all)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Timestamp;

    #[test]
    fn they_come_and_go_in_their_order() {
        let near = |id: &str| Near { id: id.into(), until: Timestamp(1) };
        let mut nears = Nears::default();
        for id in ["a", "b", "c"] {
            nears.push(near(id));
        }
        nears.get_mut(1).unwrap().until = Timestamp(2);
        assert_eq!(nears.remove(0), Some(near("a")));
        nears.retain(|near| near.id != "c".into());
        assert!(matches!(&nears, Nears::One(near) if near.until == Timestamp(2)));
        assert_eq!((nears.remove(1), nears.get_mut(1).is_none()), (None, true));
        nears.retain(|near| near.id != "b".into());
        assert!(nears.as_slice().is_empty() && matches!(nears, Nears::Other(None)));
        assert_eq!(std::mem::size_of::<Nears>(), 32);
    }
}
