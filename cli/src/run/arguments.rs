//! The arguments of `weir run`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use weir_plan::Plan;

use super::log::LogFormat;
use crate::files::program_path;
use crate::program::{Colours, Params};
use crate::state_directory::state_directory;

/// The arguments of `weir run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program (.flow), a compiled plan (.json), or - for a program on standard input
    #[arg(value_name = "FILE", value_parser = program_path())]
    pub(super) path: String,
    /// Arguments that belong to no option, so that [`Arguments::misuse`] can say why.
    #[arg(hide = true)]
    rest: Vec<String>,
    /// The name of the program, which its channels, ledgers and metrics belong to; the file's name without .flow if none is given
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(super) name: Option<String>,
    /// The directory of channels and positions whose paths are relative or missing; WEIR_STATE_DIR or systemd's STATE_DIRECTORY if none is given
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// This source is new, and not another one that was renamed: it may begin at its start although a channel knows a source that the program no longer has
    #[arg(long, value_name = "SOURCE")]
    pub(super) new_source: Vec<String>,
    /// Check that the program could start, and exit: build every component and test its secrets, certificates, addresses, directories and stored state without changing them
    #[arg(long)]
    pub(super) check_only: bool,
    /// How long sinks may go on emptying the channels after SIGTERM or SIGINT
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(super) drain: Duration,
    /// How long the start waits for an address or a file that another process uses, or a directory that can't be written, before it is given up
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(super) start_timeout: Duration,
    /// Start no source: empty the channels into their sinks and exit
    #[arg(long)]
    pub(super) drain_only: bool,
    /// Stop after this time, as SIGTERM does
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(super) time: Option<Duration>,
    /// Stop when no event has moved for this time (1s if no value is given) and no event waits in a channel
    #[arg(
        long, value_name = "DURATION", value_parser = duration,
        num_args = 0..=1, require_equals = true, default_missing_value = "1s"
    )]
    pub(super) until_idle: Option<Duration>,
    /// Serve metrics, health and readiness over HTTP at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(super) metrics: Option<SocketAddr>,
    /// How long a component may be in trouble, such as an unreachable server, before /ready answers 503
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(super) ready_limit: Duration,
    /// Show no progress line on the terminal
    #[arg(long)]
    pub(super) no_progress: bool,
    /// Print only warnings and errors
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// At the end, also print what each step did and how long it took
    #[arg(long)]
    pub(super) steps: bool,
    /// The format of the log on standard error
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) log: LogFormat,
    #[command(flatten)]
    pub(super) params: Params,
    #[command(flatten)]
    pub(super) colours: Colours,
}

impl Arguments {
    /// Returns the absolute path of the state directory, if there is one.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub(super) fn state_directory(&self) -> std::io::Result<Option<PathBuf>> {
        state_directory(self.state_dir.clone())
    }

    /// Returns which of the sources that the arguments name the plan does not have.
    pub(super) fn unknown_source(&self, plan: &Plan) -> Option<String> {
        let is_known = |name: &str| plan.sources.iter().any(|source| source.name == name);
        let unknown = self.new_source.iter().find(|name| !is_known(name))?;
        Some(format!("--new-source {unknown}: {} has no source of this name", plan.program))
    }

    /// Returns what is wrong with the arguments as a whole.
    pub(super) fn misuse(&self) -> Option<String> {
        let first = self.rest.first()?;
        if self.until_idle.is_some() && duration(&self.path).is_ok() {
            let path = &self.path;
            return Some(format!(
                "the time of --until-idle stands behind an equals sign: --until-idle={path}"
            ));
        }
        Some(format!("one program at a time: {} and {first} are two", self.path))
    }
}

/// Parses the name of a program: what may stand in the name of a file.
fn name(text: &str) -> Result<String, String> {
    let is_fit =
        !text.is_empty() && !text.chars().any(|character| character.is_control() || character == '/');
    is_fit.then(|| text.to_owned()).ok_or_else(|| "a name is not empty and has no `/`".to_owned())
}

/// Parses a duration of the language, such as `30s`.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(number) = text.parse::<f64>() {
        return Err(match number >= 0.0 && number.is_finite() {
            true => format!("the unit is missing: {text}s are seconds, and {text}min are minutes"),
            false => "expected a number with a unit, such as 30s or 5min".to_owned(),
        });
    }
    let parsed = text.parse::<SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed.ok_or_else(|| "expected a number with a unit, such as 30s or 5min".to_owned())
}

/// Parses an address with a port. `localhost` is the address 127.0.0.1.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    match (host, port.parse::<u16>()) {
        ("localhost", Ok(port)) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        ("", Ok(port)) => Err(format!(
            "the address is missing: 127.0.0.1:{port} answers this machine, and 0.0.0.0:{port} every machine"
        )),
        _ => Err("expected an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464".to_owned()),
    }
}
