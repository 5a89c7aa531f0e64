//! The source of syslog messages.

mod framing;
mod header;
mod tcp;
mod udp;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::Int64Array;
use arrow_array::builder::StringViewBuilder;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_plan::Settings;
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::source::{Source, SourcePort};
use weir_runtime::{Clock, Context, Failure, Meter, Purpose};

use crate::buffers::Buffers;
use crate::lines::Span;
use crate::listening::{Endpoint, Gatherer, Listener, Notice, Piece, ServerSecurity};
use header::{Header, header};

/// Pieces that have come and wait for a batch.
const PIECES_MAX: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Transport {
    Udp,
    Tcp { security: ServerSecurity, max_connections: usize, idle: Option<Duration> },
}

#[derive(Deserialize)]
struct SyslogSettings {
    bind: String,
    transport: Transport,
    max_message: usize,
    zone: String,
    batch: usize,
    linger: Duration,
}

#[derive(Debug, Error)]
#[error("there is no time zone `{zone}`")]
struct ZoneError {
    zone: String,
    source: jiff::Error,
}

struct SyslogSource {
    context: Context,
    settings: SyslogSettings,
    terms: Arc<Terms>,
    /// The number of the last event of all runs.
    sequence: u64,
}

/// What holds for every message.
struct Terms {
    component: Arc<str>,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    buffers: Buffers,
    zone: TimeZone,
    message_bytes_max: usize,
    events_max: usize,
    idle: Option<Duration>,
}

/// What the first parts of messages say.
struct Headers(Vec<Told>);

/// What one message says.
struct Told {
    priority: Option<i64>,
    time: i64,
    /// Where the sender stands in the piece's buffer, and its length.
    sender: Option<(usize, usize)>,
}

/// Makes a source of syslog messages.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    let settings: SyslogSettings = settings.read().map_err(Failure::permanent)?;
    let zone =
        TimeZone::get(&settings.zone).map_err(|source| ZoneError { zone: settings.zone.clone(), source });
    if matches!(settings.transport, Transport::Tcp { .. }) {
        context.descriptors.expect(Purpose::Connection);
    }
    let terms = Terms {
        component: context.component.clone(),
        meter: context.meter.clone(),
        clock: context.clock.clone(),
        buffers: Buffers::default(),
        zone: zone.map_err(Failure::permanent)?,
        message_bytes_max: settings.max_message,
        events_max: settings.batch,
        idle: match settings.transport {
            Transport::Tcp { idle, .. } => idle,
            Transport::Udp => None,
        },
    };
    Ok(Box::new(SyslogSource { context, settings, terms: Arc::new(terms), sequence: 0 }))
}

#[async_trait]
impl Source for SyslogSource {
    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let SyslogSettings { bind, transport, batch, linger, .. } = &self.settings;
        let Context { component, meter, schema, .. } = &self.context;
        let (pieces, gathered) = mpsc::channel(PIECES_MAX);
        // Dropped with the run, it ends whoever receives.
        let mut receiving = JoinSet::new();
        let (terms, stop) = (self.terms.clone(), port.stop.clone());
        match transport {
            Transport::Udp => {
                let socket = udp::bind(bind, meter).await.map_err(|error| error.into_failure())?;
                receiving.spawn(udp::receive(socket, terms, pieces, stop));
            }
            Transport::Tcp { security, max_connections, .. } => {
                let endpoint = Endpoint {
                    component: component.clone(),
                    meter: meter.clone(),
                    bind: bind.clone(),
                    connections_max: *max_connections,
                    security: security.clone(),
                };
                let listener = Listener::bind(endpoint).await.map_err(|error| error.into_failure())?;
                let stopping = stop.clone();
                let serve =
                    move |arrival| tcp::serve(arrival, terms.clone(), pieces.clone(), stopping.clone());
                receiving.spawn(listener.serve(stop, serve));
            }
        }
        let mut gatherer = Gatherer::new(schema.clone(), component, (*batch, *linger), self.sequence, &port);
        let SourcePort { outlet, deliveries, .. } = port;
        let result = self.terms.buffers.during(gatherer.see_through(gathered, outlet, deliveries)).await;
        self.sequence = gatherer.sequence();
        result
    }
}

impl Terms {
    /// Messages from one client, with what their first parts say.
    fn piece(&self, buffer: Vec<u8>, spans: Vec<Span>, client: IpAddr) -> Piece<Headers> {
        let now = self.clock.now();
        let told = spans.iter().map(|span| {
            let begin = span.begin as usize;
            let message = &buffer[begin..begin + span.length as usize];
            let Header { priority, time, sender } = header(message, &self.zone, now);
            let place = |name: &str| (name.as_ptr() as usize - buffer.as_ptr() as usize, name.len());
            Told { priority, time: time.unwrap_or(now), sender: sender.map(place) }
        });
        let notice = Headers(told.collect());
        Piece { buffer: self.buffers.share(buffer), spans, client, time: now, notice }
    }
}

impl Notice for Headers {
    /// Nobody waits for it.
    fn delivered(self) {}

    fn columns(
        pieces: &[Piece<Headers>],
        _schema: &SchemaRef,
    ) -> Result<Vec<(&'static str, Column)>, BatchError> {
        let told = || pieces.iter().flat_map(|piece| &piece.notice.0);
        let mut senders = StringViewBuilder::new();
        for Piece { buffer, notice, .. } in pieces {
            for told in &notice.0 {
                let name = told.sender.and_then(|(begin, length)| buffer.get(begin..begin + length));
                senders.append_option(name.and_then(|name| std::str::from_utf8(name).ok()));
            }
        }
        let facilities = told().map(|told| told.priority.map(|priority| priority / 8));
        let severities = told().map(|told| told.priority.map(|priority| priority % 8));
        Ok(vec![
            ("@timestamp", Column::times(told().map(|told| told.time).collect())),
            ("@facility", facilities.collect::<Int64Array>().into()),
            ("@severity", severities.collect::<Int64Array>().into()),
            ("@sender", Column::Array(Arc::new(senders.finish()))),
        ])
    }
}

#[cfg(test)]
mod tests;
