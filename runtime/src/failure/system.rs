//! The errors of the operating system, in one table that says whether an error passes by itself, needs a repair, or is
//! permanent.

use std::io;

use rustix::io::Errno;

/// What makes the failed call succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Time: the error passes by itself. The component waits and repeats the call.
    Waiting,
    /// A repair outside of Weir. A source or a sink is run again, after the delivered positions, until it succeeds; its
    /// neighbours go on. A channel fails, and so does an action of the start; but a start waits for a failed disk
    /// (`EIO`).
    Repair,
    /// Nothing: the program asks for something that the system can't do, or Weir has a defect. The component fails for
    /// good.
    None,
}

/// An error of the operating system, and its remedy.
#[derive(Debug, Clone, Copy)]
pub struct SystemError {
    /// The error number.
    pub number: i32,
    /// The name in the manual pages.
    pub name: &'static str,
    /// What makes the failed call succeed.
    pub remedy: Remedy,
    /// The usual cause, in words for operators.
    pub reason: &'static str,
}

const fn row(errno: Errno, name: &'static str, remedy: Remedy, reason: &'static str) -> SystemError {
    SystemError { number: errno.raw_os_error(), name, remedy, reason }
}

/// Every system error that Weir knows. `docs/operating.md` shows this table.
pub const SYSTEM_ERRORS: &[SystemError] = {
    use Remedy::{None, Repair, Waiting};
    &[
        row(Errno::INTR, "EINTR", Waiting, "a signal came in between"),
        row(Errno::AGAIN, "EAGAIN", Waiting, "not yet, or no thread is left"),
        row(Errno::BUSY, "EBUSY", Waiting, "another process uses it"),
        row(Errno::TXTBSY, "ETXTBSY", Waiting, "another process runs it"),
        row(Errno::DEADLK, "EDEADLK", Waiting, "two processes wait for each other's lock"),
        row(Errno::MFILE, "EMFILE", Waiting, "the process has no descriptor left"),
        row(Errno::NFILE, "ENFILE", Waiting, "the machine has no descriptor left"),
        row(Errno::NOMEM, "ENOMEM", Waiting, "the machine has no memory left"),
        row(Errno::NOBUFS, "ENOBUFS", Waiting, "the machine has no memory left for sockets"),
        row(Errno::NOLCK, "ENOLCK", Waiting, "the machine has no lock left"),
        row(Errno::NOSPC, "ENOSPC", Waiting, "the disk is full, or no watch is left"),
        row(Errno::DQUOT, "EDQUOT", Waiting, "the quota of the disk is used up"),
        row(Errno::TIMEDOUT, "ETIMEDOUT", Waiting, "the other end did not answer in time"),
        row(Errno::CONNREFUSED, "ECONNREFUSED", Waiting, "the other end does not listen now"),
        row(Errno::CONNRESET, "ECONNRESET", Waiting, "the other end has dropped the connection"),
        row(Errno::CONNABORTED, "ECONNABORTED", Waiting, "the connection was dropped before it was accepted"),
        row(Errno::NOTCONN, "ENOTCONN", Waiting, "the connection is gone"),
        row(
            Errno::PIPE,
            "EPIPE",
            Waiting,
            "the connection is gone; a sink to standard output fails for good",
        ),
        row(Errno::HOSTDOWN, "EHOSTDOWN", Waiting, "the other machine is off"),
        row(Errno::HOSTUNREACH, "EHOSTUNREACH", Waiting, "no way leads to the other machine now"),
        row(Errno::NETDOWN, "ENETDOWN", Waiting, "the network is off"),
        row(Errno::NETUNREACH, "ENETUNREACH", Waiting, "no way leads to the network now"),
        row(Errno::NETRESET, "ENETRESET", Waiting, "the network has dropped the connection"),
        row(Errno::ADDRINUSE, "EADDRINUSE", Waiting, "an agent that ends still listens there"),
        row(Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL", Waiting, "the machine does not have the address yet"),
        row(
            Errno::IO,
            "EIO",
            Repair,
            "the disk failed; data that was not synced may be lost, so it is written again",
        ),
        row(Errno::NXIO, "ENXIO", Repair, "the device is gone"),
        row(Errno::NODEV, "ENODEV", Repair, "the device is gone"),
        row(Errno::STALE, "ESTALE", Repair, "the file on the network was replaced; it is opened again"),
        row(Errno::ROFS, "EROFS", Repair, "the disk is read-only, as after an error of its own"),
        row(Errno::ACCESS, "EACCES", Repair, "the right is missing"),
        row(Errno::PERM, "EPERM", Repair, "the right is missing"),
        row(Errno::NOENT, "ENOENT", Repair, "it was removed, or is not mounted"),
        row(Errno::EXIST, "EEXIST", Repair, "something has the name already"),
        row(Errno::NOTDIR, "ENOTDIR", Repair, "a file is where a directory should be"),
        row(Errno::ISDIR, "EISDIR", Repair, "a directory is where a file should be"),
        row(Errno::NOTEMPTY, "ENOTEMPTY", Repair, "another program put something into the directory"),
        row(Errno::LOOP, "ELOOP", Repair, "symbolic links lead in a circle"),
        row(Errno::MLINK, "EMLINK", Repair, "the directory has too many directories"),
        row(
            Errno::FBIG,
            "EFBIG",
            None,
            "the file would be larger than `ulimit -f` or the file system allows",
        ),
        row(Errno::NAMETOOLONG, "ENAMETOOLONG", None, "the file system allows no name so long"),
        row(Errno::XDEV, "EXDEV", None, "a rename would lead to another file system"),
        row(Errno::INVAL, "EINVAL", None, "the system does not know the request"),
        row(Errno::NOSYS, "ENOSYS", None, "the system can't do it"),
        row(Errno::OPNOTSUPP, "EOPNOTSUPP", None, "the file system or the socket can't do it"),
        row(Errno::AFNOSUPPORT, "EAFNOSUPPORT", None, "the system does not know this kind of address"),
        row(Errno::BADF, "EBADF", None, "the descriptor was closed, which is a defect"),
        row(Errno::FAULT, "EFAULT", None, "a buffer is not in memory, which is a defect"),
        row(Errno::OVERFLOW, "EOVERFLOW", None, "a number is too large for the system"),
    ]
};

/// Returns the remedy of an error; none if the table does not have the error.
///
/// Don't ask it about a failed sync, whatever its number: the bytes written since the last good sync may be lost
/// although another sync succeeds. The caller abandons the file, and writes its events to a new one.
pub fn remedy(error: &io::Error) -> Option<Remedy> {
    let kind_of = |number| io::Error::from_raw_os_error(number).kind();
    let found = match error.raw_os_error() {
        Some(number) => SYSTEM_ERRORS.iter().find(|known| known.number == number),
        // Many errors share the kind of unknown errors.
        None if error.kind() == kind_of(i32::MAX) => None,
        // An error that Weir or a library made has only a kind. A kind never means that no attempt can succeed.
        None => SYSTEM_ERRORS
            .iter()
            .find(|known| known.remedy != Remedy::None && kind_of(known.number) == error.kind()),
    };
    found.map(|known| known.remedy)
}

/// Whether a system error is an outage, which passes by itself, so that another attempt can succeed.
pub fn is_outage(error: &io::Error) -> bool {
    remedy(error) == Some(Remedy::Waiting)
}

/// Whether the disk has failed (`EIO`).
pub fn is_disk_failure(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn exhausted_resources_are_outages_and_failed_disks_are_not() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOSPC, Errno::DQUOT, Errno::INTR] {
            assert!(is_outage(&errno.into()), "{errno}");
        }
        for errno in [Errno::IO, Errno::ROFS, Errno::ACCESS, Errno::FBIG, Errno::INVAL] {
            assert!(!is_outage(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn an_error_made_by_a_library_is_judged_by_its_kind() {
        assert_eq!(remedy(&ErrorKind::StorageFull.into()), Some(Remedy::Waiting));
        assert_eq!(remedy(&ErrorKind::NotFound.into()), Some(Remedy::Repair));
        assert_eq!(remedy(&io::Error::new(ErrorKind::TimedOut, "slow")), Some(Remedy::Waiting));
        for unknown in [ErrorKind::Other, ErrorKind::UnexpectedEof, ErrorKind::InvalidInput] {
            assert_eq!(remedy(&unknown.into()), None, "{unknown}");
        }
    }

    #[test]
    fn each_error_is_once_in_the_table_and_in_the_documents() {
        let documents = include_str!("../../../docs/operating.md");
        for known in SYSTEM_ERRORS {
            let same = SYSTEM_ERRORS.iter().filter(|other| other.number == known.number);
            assert_eq!(same.count(), 1, "{}", known.name);
            let remedy = match known.remedy {
                Remedy::Waiting => "waiting",
                Remedy::Repair => "repair",
                Remedy::None => "none",
            };
            let line = format!("| `{}` | {remedy} | {} |\n", known.name, known.reason);
            assert!(documents.contains(&line), "docs/operating.md lacks the line {line}");
        }
    }
}
