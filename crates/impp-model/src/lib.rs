//! impp-model
