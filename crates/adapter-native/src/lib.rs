//! adapter-native
