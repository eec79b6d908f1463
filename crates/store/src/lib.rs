//! The durable ledger.
