//! A program in a process of its own, with a folder for its configuration and what it writes.

use std::error::Error;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a program may take to open its port.
const START: Duration = Duration::from_secs(60);
/// How long a program may take to end before it is killed.
const END: Duration = Duration::from_secs(10);

/// How a program is started. In its arguments and its configuration, `FOLDER`, `HOST`, `PORT` and `ADDRESS` stand for the folder
/// and the address that it gets.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) command: Command,
    /// The content of `FOLDER/program`.
    pub(super) text: String,
    /// Whether the folder is in memory.
    pub(super) in_memory: bool,
}

/// A running program. It is ended when this is dropped.
pub(super) struct Server {
    process: Child,
    folder: TempDir,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts a program, and waits until its port is open.
    ///
    /// # Errors
    /// When it can't be started, or does not open its port; then with the end of its log.
    pub(super) fn start(program: Program) -> Result<Server, Box<dyn Error>> {
        let mut server = Server::spawn(program)?;
        server.wait_for_port()?;
        Ok(server)
    }

    /// Starts a program.
    ///
    /// # Errors
    /// When it can't be started.
    pub(super) fn spawn(program: Program) -> Result<Server, Box<dyn Error>> {
        let folder = match program.in_memory {
            true => tempfile::tempdir_in("/dev/shm")?,
            false => tempfile::tempdir()?,
        };
        // A free port; if another process takes it before the program does, the program fails.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let fill = |text: &str| {
            text.replace("FOLDER", &folder.path().display().to_string())
                .replace("ADDRESS", &address.to_string())
                .replace("HOST", &address.ip().to_string())
                .replace("PORT", &address.port().to_string())
        };
        fs::write(folder.path().join("program"), fill(&program.text))?;
        let mut command = Command::new(program.command.get_program());
        command.args(program.command.get_args().map(|argument| fill(&argument.to_string_lossy())));
        command.envs(program.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let process = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("output"))?)
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()
            .map_err(|error| format!("can't start {}: {error}", command.get_program().to_string_lossy()))?;
        Ok(Server { process, folder, address })
    }

    fn wait_for_port(&mut self) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            self.check_running()?;
            if began.elapsed() > START {
                return Err(format!("a program does not open its port:\n{}", self.log()?).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Checks that the program runs.
    ///
    /// # Errors
    /// When it has ended; then with its log.
    pub(super) fn check_running(&mut self) -> Result<(), Box<dyn Error>> {
        match self.process.try_wait()? {
            Some(_status) => Err(format!("a program has ended:\n{}", self.log()?).into()),
            None => Ok(()),
        }
    }

    fn log(&self) -> std::io::Result<String> {
        fs::read_to_string(self.folder.path().join("log"))
    }

    /// Returns the files that the program writes its output into.
    pub(super) fn outputs(&self) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        let entries = fs::read_dir(self.folder.path())?.collect::<Result<Vec<_>, _>>()?;
        let is_output = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("output"))
        };
        Ok(entries.into_iter().map(|entry| entry.path()).filter(is_output).collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.process);
        // An error means that it has ended by itself.
        let _: Result<(), rustix::io::Errno> =
            rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < END && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _: std::io::Result<()> = self.process.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.process.wait();
    }
}
