//! Weir beside other programs: Flume, rsyslog and syslog-ng, each with the same client and the same work.
//!
//! `benches/peers/fetch` downloads them and prints where they are, as variables of the environment. Each program is started
//! for each kind of work, is warmed up, and is ended.

mod acknowledged_lines;
mod http;
mod programs;
mod server;
mod syslog;

use std::time::Duration;

use crate::Outcome;
pub(crate) use programs::FLUME_IDLE;
use programs::{Peer, Work, flume_to_hdfs};

/// Runs Flume from a topic of Kafka into a directory of HDFS until `goes_on` returns false, which is asked again and again.
///
/// # Errors
/// When Flume is not fetched, can't be started or ends, or `goes_on` fails.
pub(crate) fn run_flume_to_hdfs(
    topic: (&str, &str, &str),
    directory: &str,
    mut goes_on: impl FnMut() -> Result<bool, Box<dyn std::error::Error>>,
) -> Outcome {
    let mut server = server::Server::spawn(flume_to_hdfs(topic, directory)?)?;
    while goes_on()? {
        server.check_running()?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A measurement of this bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Single events over HTTP, on 1, 16 and 64 connections
    Http,
    /// 1,000 events a request over HTTP, on one connection
    HttpBatches,
    /// Single events over HTTP into a file channel, against one fdatasync
    HttpDurable,
    /// Lines over TCP, each sent when the line before was acknowledged
    Lines,
    /// Messages of syslog over TCP into a file in memory
    Syslog,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Http, Kind::HttpBatches, Kind::HttpDurable, Kind::Lines, Kind::Syslog];
}

/// Measures these kinds of work, or all of them if there are none, for so long each.
///
/// # Errors
/// When a program can't be started, or does not answer. A program that was not fetched is named and left out.
pub(crate) fn measure(kinds: &[Kind], took: Duration, messages: u64) -> Outcome {
    let all = if kinds.is_empty() { &Kind::ALL[..] } else { kinds };
    for kind in all {
        match kind {
            Kind::Http => each(Work::Http, &mut |peer, server| http::measure_single(peer, server, took))?,
            Kind::HttpBatches => {
                each(Work::Http, &mut |peer, server| http::measure_batches(peer, server, took))?;
            }
            Kind::HttpDurable => {
                http::measure_fdatasync(took)?;
                each(Work::HttpDurable, &mut |peer, server| http::measure_single(peer, server, took))?;
            }
            Kind::Lines => {
                each(Work::Lines, &mut |peer, server| acknowledged_lines::measure(peer, server, took))?
            }
            Kind::Syslog => each(Work::Syslog, &mut |peer, server| syslog::measure(peer, server, messages))?,
        }
    }
    Ok(())
}

fn each(work: Work, measure: &mut dyn FnMut(Peer, &server::Server) -> Outcome) -> Outcome {
    println!("{}", work.title());
    for peer in Peer::ALL {
        let Some(program) = peer.program(work) else { continue };
        match program {
            Ok(program) => measure(peer, &server::Server::start(program)?)?,
            Err(missing) => println!("  {:10} left out: {missing}", peer.name()),
        }
    }
    Ok(())
}
