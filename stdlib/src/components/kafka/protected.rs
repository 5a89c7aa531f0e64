//! The settings of clients whom the brokers let in, and how clients are made from them.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rdkafka::admin::AdminClient;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::future_producer::FutureProducerContext;
use rdkafka::producer::{BaseProducer, FutureProducer, Producer, ProducerContext};

use super::native::give_token;
use super::tokens::{Token, Tokens};

/// The settings of a client, with those of security, and the token that it shows the brokers.
#[derive(Debug, Clone)]
pub(super) struct ProtectedConfig {
    config: ClientConfig,
    token: Option<(Arc<Token>, Arc<Tokens>)>,
}

impl ProtectedConfig {
    pub(super) fn new(config: ClientConfig, token: Option<(Arc<Token>, Arc<Tokens>)>) -> ProtectedConfig {
        ProtectedConfig { config, token }
    }

    /// Makes a client. It has the token before it connects, which it does when it needs a broker.
    ///
    /// # Errors
    /// When librdkafka does not take the settings or the token.
    pub(super) fn create<C, K>(&self, context: C) -> KafkaResult<K>
    where
        C: ClientContext,
        K: FromClientConfigAndContext<C> + HasClient,
    {
        let made: K = self.config.create_with_context(context)?;
        if let Some((token, tokens)) = &self.token {
            give_token(made.native(), token, tokens.extensions()).map_err(KafkaError::ClientCreation)?;
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
