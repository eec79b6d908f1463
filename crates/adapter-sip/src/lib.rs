//! adapter-sip
