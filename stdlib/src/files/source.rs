//! The source that reads complete files.

mod discovery;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{BinaryViewArray, Int64Array};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, SchemaRef};
use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tracing::{debug, error, warn};
use weir_plan::Settings;
use weir_runtime::batch::{Batch, BatchError, Column, Origins, Partition};
use weir_runtime::source::{Delivered, Outlet, PutError, Source, SourcePort};
use weir_runtime::{Clock, Context, Failure, Meter};

use super::lines::{Chunk, Line, LineRules, LongLine, read_chunk};
use discovery::{Discovery, Found, Stamp};

/// The enum `After` of the signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum After {
    Keep,
    Rename { suffix: String },
    Delete,
}

/// The one of the enum `FileMode` that this version carries out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileMode {
    Complete { after: After },
}

#[derive(Deserialize)]
struct FilesSettings {
    paths: Vec<String>,
    mode: FileMode,
    max_line: usize,
    long_lines: LongLine,
    poll: Duration,
    batch: usize,
}

/// Reads complete files, one event a line.
struct FilesSource {
    component: Arc<str>,
    schema: SchemaRef,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    host: String,
    discovery: Discovery,
    after: After,
    rules: LineRules,
    poll: Duration,
    batch: usize,
    /// Files that are read to their end and not yet delivered.
    read: HashMap<Partition, ReadFile>,
}

/// A file that is read to its end.
struct ReadFile {
    path: PathBuf,
    end: u64,
}

#[derive(Debug, Error)]
enum FilesError {
    #[error("the glob `{glob}` can't be used")]
    Glob { glob: String, source: globset::Error },
    #[error("the suffix for files that are done must not be empty")]
    EmptySuffix,
    #[error("{action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has changed while it was read", path.display())]
    Changed { path: PathBuf },
    #[error("a thread that reads files has ended")]
    Thread(#[from] JoinError),
    #[error("making a batch")]
    Batch(#[from] BatchError),
    #[error("making views of lines")]
    Views(#[from] ArrowError),
    #[error(transparent)]
    Put(#[from] PutError),
}

impl FilesError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
        move |source| FilesError::File { action, path: path.to_path_buf(), source }
    }
}

/// Makes a source of files.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    let settings: FilesSettings = settings.read().map_err(Failure::permanent)?;
    let FilesSettings { paths, mode: FileMode::Complete { after }, max_line, long_lines, poll, batch } =
        settings;
    if matches!(&after, After::Rename { suffix } if suffix.is_empty()) {
        return Err(Failure::permanent(FilesError::EmptySuffix));
    }
    let done_suffix = match &after {
        After::Rename { suffix } => Some(suffix.clone()),
        After::Keep | After::Delete => None,
    };
    let discovery =
        Discovery::new(paths, done_suffix, context.component.clone()).map_err(Failure::permanent)?;
    Ok(Box::new(FilesSource {
        component: context.component,
        schema: context.schema,
        meter: context.meter,
        clock: context.clock,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        discovery,
        after,
        rules: LineRules { line_bytes_max: max_line, long_lines },
        poll,
        batch,
        read: HashMap::new(),
    }))
}

#[async_trait]
impl Source for FilesSource {
    async fn run(&mut self, mut port: SourcePort) -> Result<(), Failure> {
        // What an earlier run has read and not delivered is read again.
        self.discovery.forget(self.read.drain().map(|(_, file)| file.path));
        while !port.stop.is_cancelled() {
            for found in self.discovery.look().await? {
                tokio::select! {
                    // A file that is not read to its end is left as it is.
                    () = port.stop.cancelled() => break,
                    read = self.read_file(found, &mut port.outlet) => read?,
                }
            }
            tokio::select! {
                () = port.stop.cancelled() => {}
                () = sleep(self.poll) => {}
                delivered = port.deliveries.next() => self.finish(delivered).await,
            }
        }
        port.outlet.close();
        while let Some(delivered) = port.deliveries.next().await {
            self.finish(Some(delivered)).await;
        }
        Ok(())
    }
}

impl FilesSource {
    /// Reads one file; one that can't be read is set aside with an error.
    async fn read_file(&mut self, found: Found, outlet: &mut Outlet) -> Result<(), Failure> {
        let path = found.path.clone();
        match self.read_lines(found, outlet).await {
            Ok(()) => Ok(()),
            Err(error @ (FilesError::File { .. } | FilesError::Changed { .. })) => {
                let failure = Failure::transient(error);
                error!(component = %self.component, "{failure}: the file is set aside, the source goes on");
                self.meter.count("files_set_aside", 1);
                debug!(component = %self.component, path = %path.display(), "set aside");
                Ok(())
            }
            Err(FilesError::Put(error)) => Err(error.into_failure()),
            Err(other) => Err(Failure::permanent(other)),
        }
    }

    async fn read_lines(&mut self, found: Found, outlet: &mut Outlet) -> Result<(), FilesError> {
        let Found { path, stamp } = found;
        let file = File::open(&path).map_err(FilesError::file("opening", &path))?;
        let file = Arc::new(file);
        check_unchanged(&file, &path, &stamp)?;
        let partition = stamp.partition();
        let mut position = 0;
        while position < stamp.length {
            let (reader, rules, end) = (file.clone(), self.rules, stamp.length);
            let chunk = spawn_blocking(move || read_chunk(&reader, position, end, rules)).await?;
            let chunk = chunk.map_err(FilesError::file("reading", &path))?;
            let next = chunk.next;
            self.put(chunk, position, &path, &partition, outlet).await?;
            position = next;
        }
        check_unchanged(&file, &path, &stamp)?;
        self.meter.count("files_read", 1);
        let read = ReadFile { path, end: stamp.length };
        if read.end == 0 {
            self.finish_file(read).await;
        } else {
            self.read.insert(partition, read);
        }
        Ok(())
    }

    /// Puts the lines of a chunk, in batches that share its buffer.
    async fn put(
        &self,
        chunk: Chunk,
        position: u64,
        path: &Path,
        partition: &Partition,
        outlet: &mut Outlet,
    ) -> Result<(), FilesError> {
        if chunk.too_long > 0 {
            self.meter.count("long_lines", chunk.too_long);
            let (count, bound) = (chunk.too_long, self.rules.line_bytes_max);
            warn!(component = %self.component, "{count} lines of {} are longer than {bound} bytes", path.display());
        }
        let Chunk { buffer, lines, next, .. } = chunk;
        let buffer = Buffer::from_vec(buffer);
        let mut after = position;
        let mut rest = &lines[..];
        loop {
            let (part, behind) = rest.split_at(rest.len().min(self.batch));
            let through = behind.first().map_or(next, |line| line.offset);
            let origins = Origins::one(partition.clone(), after, through);
            let batch = self.assemble(&buffer, part, path, origins)?;
            outlet.put(batch).await?;
            (after, rest) = (through, behind);
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn assemble(
        &self,
        buffer: &Buffer,
        lines: &[Line],
        path: &Path,
        origins: Origins,
    ) -> Result<Batch, FilesError> {
        let offsets = Int64Array::from_iter_values(lines.iter().map(|line| line.offset as i64));
        let named = vec![
            ("@file", Column::constant_text(&path.to_string_lossy())),
            ("@offset", offsets.into()),
            ("@host", Column::constant_text(&self.host)),
            ("@timestamp", Column::constant_time(self.clock.now())),
            (weir_plan::BODY, bodies(buffer, lines)?.into()),
        ];
        Ok(Batch::assemble(&self.schema, named, lines.len(), origins)?)
    }

    /// Does what is wanted with the files that are delivered whole.
    async fn finish(&mut self, delivered: Option<Delivered>) {
        for (partition, through) in delivered.iter().flat_map(Delivered::positions) {
            if self.read.get(partition).is_some_and(|file| through >= file.end)
                && let Some(file) = self.read.remove(partition)
            {
                self.finish_file(file).await;
            }
        }
    }

    /// Keeps, renames or deletes a file. When that fails the file stays, and is known as read.
    async fn finish_file(&self, file: ReadFile) {
        let ReadFile { path, .. } = file;
        let result = match &self.after {
            After::Keep => Ok(()),
            After::Rename { suffix } => {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                rename_without_replacing(&path, Path::new(&name))
            }
            After::Delete => tokio::fs::remove_file(&path).await,
        };
        match result {
            Ok(()) => self.meter.count("files_delivered", 1),
            Err(error) => {
                let path = path.display();
                error!(component = %self.component, "{path} is delivered and can't be put away: {error}; it stays");
                self.meter.count("files_not_put_away", 1);
            }
        }
    }
}

fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Views of lines in one buffer. An empty line is an empty body.
fn bodies(buffer: &Buffer, lines: &[Line]) -> Result<BinaryViewArray, ArrowError> {
    let mut builder = BinaryViewBuilder::with_capacity(lines.len());
    let block = builder.append_block(buffer.clone());
    for line in lines {
        builder.try_append_view(block, line.begin, line.length)?;
    }
    Ok(builder.finish())
}

fn check_unchanged(file: &File, path: &Path, stamp: &Stamp) -> Result<(), FilesError> {
    let metadata = file.metadata().map_err(FilesError::file("looking at", path))?;
    match Stamp::of(&metadata) == *stamp {
        true => Ok(()),
        false => Err(FilesError::Changed { path: path.to_path_buf() }),
    }
}

#[cfg(test)]
mod tests;
