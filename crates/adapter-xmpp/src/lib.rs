//! adapter-xmpp
