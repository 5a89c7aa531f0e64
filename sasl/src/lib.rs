//! The functions of Cyrus SASL that librdkafka calls to log in at Kafka's brokers by Kerberos (SASL GSSAPI, RFC 4752), written
//! with the Kerberos library of the system (`libgssapi_krb5.so.2`), which is loaded when the first ticket is needed.
//!
//! The crate takes the place of `sasl2-sys`, which binds the C library. `docs/decisions/kafka.md` gives the reasons.
//!
//! ```text
//! librdkafka ─► interface.rs ─► session.rs ─► gssapi/ ─► libgssapi_krb5.so.2
//!                                   └─► tickets.rs ─┘
//! ```
//!
//! Each connection of librdkafka is a session. The user name that librdkafka has names the principal and its keytab
//! ([`Tickets::user_name`]); all sessions with the same principal and keytab share tickets, in a cache in memory that nobody else
//! uses.

mod failure;
mod gssapi;
mod interface;
mod session;
mod tickets;

pub use failure::{LoginFailure, Stage};
pub use gssapi::KerberosError;
pub use tickets::Tickets;
