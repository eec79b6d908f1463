//! What came of a mapping between two forms.

/// A value in another form, with the fields that did not come over whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapped<T> {
    /// The value.
    pub value: T,
    /// Fields that arrive in a poorer form.
    pub degraded: Vec<&'static str>,
    /// Fields that do not arrive.
    pub dropped: Vec<&'static str>,
}

impl<T> Mapped<T> {
    /// A value without losses.
    pub fn whole(value: T) -> Self {
        Self { value, degraded: Vec::new(), dropped: Vec::new() }
    }

    /// A value that lacks those fields of which `lost` says so.
    pub fn without<const N: usize>(value: T, lost: [(&'static str, bool); N]) -> Self {
        let dropped = lost.into_iter().filter_map(|(what, lost)| lost.then_some(what)).collect();
        Self { value, degraded: Vec::new(), dropped }
    }
}
