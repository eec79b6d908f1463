//! impp-resolve
