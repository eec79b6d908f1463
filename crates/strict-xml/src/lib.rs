//! strict-xml
