//! How the users of an instance change while it serves.

use std::fmt;

/// What a changed table has made of the users of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserChanges {
    /// Who was not there before.
    pub added: usize,
    /// Who is not there any longer.
    pub gone: usize,
    /// Who has another token or password, or speaks for others.
    pub changed: usize,
    /// Who is as before.
    pub stayed: usize,
}

impl UserChanges {
    /// Whether anything is otherwise than before.
    pub fn any(self) -> bool {
        self != Self { stayed: self.stayed, ..Self::default() }
    }
}

impl fmt::Display for UserChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, gone, changed, stayed } = self;
        write!(f, "{added} added, {gone} gone, {changed} changed, {stayed} as before")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_stay_are_no_change() {
        let stayed = UserChanges { stayed: 7, ..UserChanges::default() };
        assert!(!stayed.any() && UserChanges { gone: 1, ..stayed }.any());
        assert_eq!(stayed.to_string(), "0 added, 0 gone, 0 changed, 7 as before");
    }
}
