//! The settings of clients whom the brokers let in, and how clients are made from them.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rdkafka::admin::AdminClient;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::future_producer::FutureProducerContext;
use rdkafka::producer::{BaseProducer, FutureProducer, Producer, ProducerContext};
use thiserror::Error;

use super::native::give_token;
use super::tokens::{TokenError, Tokens};

/// Why a client can't be made.
#[derive(Debug, Error)]
pub(super) enum CreateError {
    /// librdkafka does not take the settings, or the token.
    #[error(transparent)]
    Client(KafkaError),
    /// There is no valid token any more, and the next one may come.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// For callers that take every error of a client for one that may pass.
impl From<CreateError> for KafkaError {
    fn from(error: CreateError) -> KafkaError {
        match error {
            CreateError::Client(error) => error,
            CreateError::Token(error) => KafkaError::ClientCreation(error.to_string()),
        }
    }
}

/// The settings of a client, with those of security, and the tokens of which it shows the brokers the present one.
#[derive(Debug, Clone)]
pub(super) struct ProtectedConfig {
    config: ClientConfig,
    tokens: Option<Arc<Tokens>>,
}

impl ProtectedConfig {
    pub(super) fn new(config: ClientConfig, tokens: Option<Arc<Tokens>>) -> ProtectedConfig {
        ProtectedConfig { config, tokens }
    }

    /// Makes a client. It has the token before it connects, which it does when it needs a broker.
    ///
    /// # Errors
    /// When librdkafka does not take the settings or the token, or there is no token at present.
    pub(super) fn create<C, K>(&self, context: C) -> Result<K, CreateError>
    where
        C: ClientContext,
        K: FromClientConfigAndContext<C> + HasClient,
    {
        let made: K = self.config.create_with_context(context).map_err(CreateError::Client)?;
        if let Some(tokens) = &self.tokens {
            // The settings may be older than the token.
            let token = tokens.present().inspect_err(|_| tokens.want())?;
            give_token(made.native(), &token, tokens.extensions())
                .map_err(|reason| CreateError::Client(KafkaError::ClientCreation(reason)))?;
        }
        Ok(made)
    }
}

impl Deref for ProtectedConfig {
    type Target = ClientConfig;

    fn deref(&self) -> &ClientConfig {
        &self.config
    }
}

impl DerefMut for ProtectedConfig {
    fn deref_mut(&mut self) -> &mut ClientConfig {
        &mut self.config
    }
}

/// A consumer, a producer or an admin client, which the crate knows by no common trait.
pub(super) trait HasClient {
    /// The context of the client.
    type Context: ClientContext;

    fn native(&self) -> &Client<Self::Context>;
}

impl<C: ConsumerContext> HasClient for BaseConsumer<C> {
    type Context = C;

    fn native(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ProducerContext> HasClient for BaseProducer<C> {
    type Context = C;

    fn native(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ClientContext + 'static> HasClient for FutureProducer<C> {
    type Context = FutureProducerContext<C>;

    fn native(&self) -> &Client<FutureProducerContext<C>> {
        self.client()
    }
}

impl<C: ClientContext> HasClient for AdminClient<C> {
    type Context = C;

    fn native(&self) -> &Client<C> {
        self.inner()
    }
}
