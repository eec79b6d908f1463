//! sip-proto
