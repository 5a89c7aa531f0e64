//! The kinds of causes that keep a component from working, and the causes of system errors.

use std::{fmt, io};

use rustix::io::Errno;
use serde::Serialize;

/// The kind of a trouble. The set is closed, so that it can be a label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The other end refuses connections.
    Refused,
    /// The name of the other end has no address.
    NoSuchHost,
    /// No route leads to the other end, or the connection was lost.
    Unreachable,
    /// The other end does not answer in time.
    TimedOut,
    /// The connection could not be protected by TLS, for example because of an expired certificate.
    Tls,
    /// The other end does not accept the credentials, or they don't allow the request.
    NotAuthorised,
    /// The other end answers something that is not understood.
    Protocol,
    /// A disk, a quota or a store is full.
    DiskFull,
    /// A disk has failed, or is read-only.
    DiskFailed,
    /// The operating system does not permit it.
    NotPermitted,
    /// The process or the machine has no descriptors or no memory left.
    Exhausted,
    /// Another process uses the address or the file.
    InUse,
    /// An input can't be read, and is set aside.
    SetAside,
    /// The component has failed for another reason, and is run again.
    Failed,
}

impl Cause {
    /// The name of the cause in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Refused => "refused",
            Cause::NoSuchHost => "no_such_host",
            Cause::Unreachable => "unreachable",
            Cause::TimedOut => "timed_out",
            Cause::Tls => "tls",
            Cause::NotAuthorised => "not_authorised",
            Cause::Protocol => "protocol",
            Cause::DiskFull => "disk_full",
            Cause::DiskFailed => "disk_failed",
            Cause::NotPermitted => "not_permitted",
            Cause::Exhausted => "exhausted",
            Cause::InUse => "in_use",
            Cause::SetAside => "set_aside",
            Cause::Failed => "failed",
        }
    }

    /// Whether events wait because of the trouble. An input that is set aside holds up no other input.
    pub fn blocks(self) -> bool {
        self != Cause::SetAside
    }
}

impl Cause {
    /// The cause that an error of the operating system shows; none if it shows none.
    pub fn of_system_error(error: &io::Error) -> Option<Cause> {
        let cause = match Errno::from_io_error(error)? {
            Errno::CONNREFUSED => Cause::Refused,
            Errno::TIMEDOUT => Cause::TimedOut,
            Errno::NOSPC | Errno::DQUOT => Cause::DiskFull,
            Errno::IO | Errno::ROFS | Errno::NXIO | Errno::NODEV | Errno::STALE => Cause::DiskFailed,
            Errno::ACCESS | Errno::PERM => Cause::NotPermitted,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => Cause::Exhausted,
            Errno::ADDRINUSE | Errno::BUSY | Errno::TXTBSY => Cause::InUse,
            Errno::CONNRESET
            | Errno::CONNABORTED
            | Errno::NOTCONN
            | Errno::PIPE
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NETRESET => Cause::Unreachable,
            _ => return None,
        };
        Some(cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}
