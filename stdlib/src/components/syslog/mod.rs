//! The source `syslog`: receives syslog messages in datagrams or on TCP connections.

mod framing;
mod header;
mod tcp;
mod udp;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::Int64Array;
use arrow_array::builder::StringViewBuilder;
use arrow_buffer::Buffer;
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

use crate::language::parsers::syslog::Nearest;
use crate::tools::buffers::Buffers;
use crate::tools::lines::Span;
use crate::tools::listener::{
    self, Attachment, Chunk, Endpoint, Gatherer, ListenError, Listener, PutLimit, ServerSecurity,
};
use header::{Header, header};

/// The most chunks in the gatherer's queue.
const CHUNKS_MAX: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Transport {
    Udp { receive_buffer: usize, receivers: usize },
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

#[derive(Debug, Error)]
#[error("receiving datagrams")]
struct ReceiveError(#[source] io::Error);

struct SyslogSource {
    context: Context,
    settings: SyslogSettings,
    run_context: Arc<RunContext>,
    /// The number of the last event that was put, over all runs.
    sequence: u64,
}

/// What all receivers and connections of a run share.
#[derive(Clone)]
struct RunContext {
    component: Arc<str>,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    buffers: Buffers,
    zone: TimeZone,
    message_bytes_max: usize,
    events_max: usize,
    idle: Option<Duration>,
}

/// Parses the headers of messages when their batch is made, so that receiving is not delayed.
struct HeaderReader(Arc<RunContext>);

/// Makes the source.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    let settings: SyslogSettings = settings.read().map_err(Failure::permanent)?;
    let zone =
        TimeZone::get(&settings.zone).map_err(|source| ZoneError { zone: settings.zone.clone(), source });
    if matches!(settings.transport, Transport::Tcp { .. }) {
        context.descriptors.expect(Purpose::Connection);
    }
    let run_context = RunContext {
        component: context.component.clone(),
        meter: context.meter.clone(),
        clock: context.clock.clone(),
        buffers: Buffers::default(),
        zone: zone.map_err(Failure::permanent)?,
        message_bytes_max: settings.max_message,
        events_max: settings.batch,
        idle: match settings.transport {
            Transport::Tcp { idle, .. } => idle,
            Transport::Udp { .. } => None,
        },
    };
    Ok(Box::new(SyslogSource { context, settings, run_context: Arc::new(run_context), sequence: 0 }))
}

#[async_trait]
impl Source for SyslogSource {
    fn describe(&self) -> String {
        let SyslogSettings { bind, transport, .. } = &self.settings;
        match transport {
            Transport::Udp { .. } => format!("listens on {bind} (UDP)"),
            Transport::Tcp { security, .. } => format!("listens on {bind} ({}TCP)", security.words()),
        }
    }

    async fn probe(&mut self) -> Vec<Failure> {
        let SyslogSettings { bind, transport, .. } = &self.settings;
        match transport {
            Transport::Tcp { security, .. } => listener::probe(bind, security).await,
            Transport::Udp { .. } => {
                let bound = tokio::net::UdpSocket::bind(bind).await.err();
                let refused = bound.map(|source| ListenError::Bind { address: bind.clone(), source });
                refused.into_iter().map(ListenError::into_failure).collect()
            }
        }
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let SyslogSettings { bind, transport, batch, linger, .. } = &self.settings;
        let Context { component, meter, .. } = &self.context;
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        // Dropping the set, when this run ends, ends all receivers and connections.
        let mut receiving: JoinSet<io::Result<()>> = JoinSet::new();
        // A message that does not fit into the channels behind counts as too long.
        let message_bytes_max = self.run_context.message_bytes_max.min(PutLimit::of(&port).body_bytes_max());
        let run_context = Arc::new(RunContext { message_bytes_max, ..RunContext::clone(&self.run_context) });
        let stop = port.stop.clone();
        match transport {
            Transport::Udp { receive_buffer, receivers } => {
                let buffer = udp::ReceiveBuffer::new(component, meter, *receive_buffer);
                let sockets = udp::bind(bind, *receivers, &buffer).await;
                for socket in sockets.map_err(|error| error.into_failure())? {
                    let receiver = udp::Receiver::new(socket, *receive_buffer, run_context.clone());
                    receiving.spawn(receiver.receive(chunks.clone(), stop.clone()));
                }
                drop(chunks);
            }
            Transport::Tcp { security, max_connections, .. } => {
                let endpoint = Endpoint::new(&self.context, bind, *max_connections, security);
                let listener = Listener::bind(endpoint).await.map_err(|error| error.into_failure())?;
                let stopping = stop.clone();
                let serve = move |accepted| {
                    tcp::serve(accepted, run_context.clone(), chunks.clone(), stopping.clone())
                };
                receiving.spawn(async move {
                    listener.serve(stop, serve).await;
                    Ok(())
                });
            }
        }
        let mut gatherer = Gatherer::new(&self.context, (*batch, *linger), self.sequence, &port);
        let SourcePort { outlet, deliveries, .. } = port;
        let gathering = self.run_context.buffers.during(gatherer.run_to_end(queue, outlet, deliveries));
        let result = tokio::select! {
            result = gathering => result,
            error = first_error(&mut receiving) => Err(Failure::transient(ReceiveError(error))),
        };
        self.sequence = gatherer.sequence();
        result
    }
}

impl RunContext {
    /// Makes a chunk of one client's messages, received now.
    fn chunk(
        self: &Arc<RunContext>,
        buffer: Buffer,
        spans: Vec<Span>,
        client: IpAddr,
    ) -> Chunk<HeaderReader> {
        Chunk { buffer, spans, client, time: self.clock.now(), attachment: HeaderReader(self.clone()) }
    }
}

/// Waits until a receiving task fails, and returns its error. Never returns if none fails.
async fn first_error(receiving: &mut JoinSet<io::Result<()>>) -> io::Error {
    while let Some(ended) = receiving.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(error) => return io::Error::other(error),
        }
    }
    std::future::pending().await
}

impl Attachment for HeaderReader {
    /// Does nothing: clients get no acknowledgements.
    fn delivered(self) {}

    fn columns(
        chunks: &[Chunk<HeaderReader>],
        _schema: &SchemaRef,
    ) -> Result<Vec<(&'static str, Column)>, BatchError> {
        let rows = chunks.iter().map(|chunk| chunk.spans.len()).sum();
        let (mut times, mut priorities) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let [mut senders, mut programs, mut processes] =
            std::array::from_fn(|_| StringViewBuilder::with_capacity(rows));
        for Chunk { buffer, spans, time: now, attachment: HeaderReader(run_context), .. } in chunks {
            let nearest = Nearest::new(&run_context.zone, *now);
            for span in spans {
                let message = &buffer[span.begin as usize..][..span.length as usize];
                let Header { priority, time, sender, program, process } = header(message, &nearest);
                times.push(time.unwrap_or(*now));
                priorities.push(priority);
                senders.append_option(sender);
                programs.append_option(program);
                processes.append_option(process);
            }
        }
        let facilities = priorities.iter().map(|priority| priority.map(|priority| priority / 8));
        let severities = priorities.iter().map(|priority| priority.map(|priority| priority % 8));
        Ok(vec![
            ("@timestamp", Column::times(times)),
            ("@facility", facilities.collect::<Int64Array>().into()),
            ("@severity", severities.collect::<Int64Array>().into()),
            ("@sender", Column::Array(Arc::new(senders.finish()))),
            ("@program", Column::Array(Arc::new(programs.finish()))),
            ("@pid", Column::Array(Arc::new(processes.finish()))),
        ])
    }
}

#[cfg(test)]
mod tests;
