//! adapter-api
