//! The login at a broker by Kerberos (RFC 4752, section 3.1): both sides prove who they are, then the broker says by which layer
//! what follows may be protected, and the client chooses none. TLS protects the connection, or nothing does.

use std::sync::Arc;

use crate::failure::{LoginFailure, Stage};
use crate::gssapi::{Context, Credentials, KerberosError};
use crate::tickets::Tickets;

/// The bit for "no layer" in the broker's offer and in the answer.
const NO_LAYER: u8 = 1;

/// The length of the broker's offer: the layers, and the greatest message in three bytes.
const OFFER_BYTES: usize = 4;

/// One step of the login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What the broker gets; may be empty.
    pub(crate) output: Vec<u8>,
    /// Whether the client has nothing more to say.
    pub(crate) is_last: bool,
}

enum State {
    /// The context is not open yet.
    Opening,
    /// The broker's offer comes next.
    Offer,
    Over,
}

/// The login of one connection.
pub(crate) struct Session {
    credentials: Arc<Credentials>,
    context: Context,
    state: State,
}

impl Session {
    /// Starts a login at a broker. Blocks while the Kerberos server does not answer.
    ///
    /// # Errors
    /// When there is no ticket for this client or for the broker.
    pub(crate) fn start(
        tickets: &Tickets,
        service: &str,
        host: &str,
    ) -> Result<(Session, Step), LoginFailure> {
        let credentials = tickets.credentials().map_err(|error| Stage::Ticket.failed(&error))?;
        let context = Context::new(service, host).map_err(|error| Stage::Login.failed(&error))?;
        let mut session = Session { credentials, context, state: State::Opening };
        let step = session.step(&[])?;
        Ok((session, step))
    }

    /// Answers the broker.
    ///
    /// # Errors
    /// When the login can't go on.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, LoginFailure> {
        let made = match self.state {
            State::Opening => self.open(input),
            State::Offer => self.answer(input),
            State::Over => Err(KerberosError::Protocol("the broker goes on after the login".to_owned())),
        };
        made.map_err(|error| {
            self.state = State::Over;
            Stage::Login.failed(&error)
        })
    }

    fn open(&mut self, input: &[u8]) -> Result<Step, KerberosError> {
        let opened = self.context.open(&self.credentials, input)?;
        if opened.is_open {
            self.state = State::Offer;
        }
        Ok(Step { output: opened.token, is_last: false })
    }

    fn answer(&mut self, input: &[u8]) -> Result<Step, KerberosError> {
        let reply = reply(&self.context.unwrap(input)?)?;
        self.state = State::Over;
        Ok(Step { output: self.context.wrap(&reply)?, is_last: true })
    }
}

/// Chooses no layer, if the broker offers that. No further name follows: the client is its principal.
fn reply(offer: &[u8]) -> Result<[u8; OFFER_BYTES], KerberosError> {
    match offer {
        [layers, _, _, _] if layers & NO_LAYER != 0 => Ok([NO_LAYER, 0, 0, 0]),
        [_, _, _, _] => Err(KerberosError::Protocol(
            "the broker wants a layer of its own to protect the connection, which Kafka does not have"
                .to_owned(),
        )),
        _ => Err(KerberosError::Protocol(format!("the broker's offer has {} bytes, not 4", offer.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_layer_is_chosen_if_the_broker_offers_it() {
        assert_eq!(reply(&[7, 0, 255, 255]), Ok([1, 0, 0, 0]));
        assert_eq!(reply(&[1, 0, 0, 0]), Ok([1, 0, 0, 0]));
    }

    #[test]
    fn another_offer_is_an_error() {
        for offer in [&[6, 0, 255, 255][..], &[1, 0, 0], &[1, 0, 0, 0, 0], &[]] {
            assert!(reply(offer).is_err(), "{offer:?}");
        }
    }
}
