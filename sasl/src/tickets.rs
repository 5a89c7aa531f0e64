//! The tickets of a principal, which are got with its keytab whenever a connection needs one and none is valid.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::gssapi::{Credentials, KerberosError};

/// After a failure, all connections get the same error for so long: a wrong key that is tried often may lock its principal.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// A ticket is replaced when less than this part of its time is left, as clients of Java do.
const LEFT: u32 = 5;

/// The ticket that all connections have at present.
struct Present {
    credentials: Arc<Credentials>,
    /// When it is replaced, and when it is not valid any more.
    due: Instant,
    expires: Instant,
}

#[derive(Default)]
struct State {
    present: Option<Present>,
    /// The last attempt to get a ticket has failed.
    failure: Option<(Instant, KerberosError)>,
}

/// The tickets of a principal with the keys of a keytab. All users in the process share them.
pub struct Tickets {
    principal: String,
    keytab: String,
    state: Mutex<State>,
    /// Held while a ticket is got.
    getting: Mutex<()>,
}

impl Tickets {
    /// Returns the tickets of a principal (`weir@EXAMPLE.ORG`, without spaces) and a keytab. Opens no file.
    pub fn of(principal: &str, keytab: &str) -> Arc<Tickets> {
        type Known = BTreeMap<(String, String), Arc<Tickets>>;
        // At most as many as the settings name.
        static KNOWN: Mutex<Known> = Mutex::new(Known::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let tickets = known.entry((principal.to_owned(), keytab.to_owned())).or_insert_with(|| {
            let (principal, keytab) = (principal.to_owned(), keytab.to_owned());
            Arc::new(Tickets { principal, keytab, state: Mutex::default(), getting: Mutex::default() })
        });
        tickets.clone()
    }

    /// The value of librdkafka's setting `sasl.username` with which a client uses these tickets.
    pub fn user_name(&self) -> String {
        format!("{} {}", self.principal, self.keytab)
    }

    /// Returns the tickets that such a user name means; none if it means none.
    pub(crate) fn of_user(name: &str) -> Option<Arc<Tickets>> {
        let (principal, keytab) = name.split_once(' ')?;
        Some(Tickets::of(principal, keytab))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets a ticket, unless there is a valid one. Blocks while the Kerberos server does not answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn obtain(&self) -> Result<(), KerberosError> {
        self.credentials().map(drop)
    }

    /// Forgets the ticket and those for services, which a broker has refused: its keys may be new ones.
    pub fn forget(&self) {
        self.lock().present = None;
    }

    /// Returns valid credentials, new ones if they soon expire. Blocks while the Kerberos server does not answer.
    pub(crate) fn credentials(&self) -> Result<Arc<Credentials>, KerberosError> {
        if let Some(credentials) = self.held(|present| present.due) {
            return Ok(credentials);
        }
        let _getting = self.getting.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have got it meanwhile.
        if let Some(credentials) = self.held(|present| present.due) {
            return Ok(credentials);
        }
        self.replace().or_else(|error| self.held(|present| present.expires).ok_or(error))
    }

    /// The present credentials before the time that is asked for.
    fn held(&self, end: fn(&Present) -> Instant) -> Option<Arc<Credentials>> {
        let state = self.lock();
        let present = state.present.as_ref().filter(|present| Instant::now() < end(present))?;
        Some(present.credentials.clone())
    }

    /// Gets a new ticket, unless that has just failed.
    fn replace(&self) -> Result<Arc<Credentials>, KerberosError> {
        if let Some((at, error)) = &self.lock().failure
            && at.elapsed() < FAILURE_PAUSE
        {
            return Err(error.clone());
        }
        let begin = Instant::now();
        let obtained = Credentials::obtain(&self.principal, &self.keytab);
        let mut state = self.lock();
        match obtained {
            Ok((credentials, lifetime)) => {
                let credentials = Arc::new(credentials);
                let (due, expires) = (begin + lifetime - lifetime / LEFT, begin + lifetime);
                state.present = Some(Present { credentials: credentials.clone(), due, expires });
                state.failure = None;
                Ok(credentials)
            }
            Err(error) => {
                state.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tickets { principal, keytab, .. } = self;
        f.debug_struct("Tickets")
            .field("principal", principal)
            .field("keytab", keytab)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_means_the_tickets_that_it_was_made_of() {
        let tickets = Tickets::of("weir@WEIR.TEST", "/etc/with a space.keytab");
        let found = Tickets::of_user(&tickets.user_name()).unwrap();
        assert!(Arc::ptr_eq(&tickets, &found));
        assert!(Tickets::of_user("weir@WEIR.TEST").is_none());
    }

    #[test]
    fn the_tickets_of_two_principals_and_of_two_keytabs_are_others() {
        let one = Tickets::of("one@WEIR.TEST", "/etc/a.keytab");
        for (principal, keytab) in [("two@WEIR.TEST", "/etc/a.keytab"), ("one@WEIR.TEST", "/etc/b.keytab")] {
            assert!(!Arc::ptr_eq(&one, &Tickets::of(principal, keytab)));
        }
    }

    #[test]
    fn a_failure_is_not_repeated_at_once() {
        let tickets = Tickets::of("nobody@WEIR.TEST", "/nowhere/nobody.keytab");
        let first = tickets.obtain().unwrap_err();
        let at = tickets.lock().failure.clone().unwrap().0;
        assert_eq!(tickets.obtain().unwrap_err(), first);
        assert_eq!(tickets.lock().failure.clone().unwrap().0, at);
    }
}
