//! interwork
