//! Makes batches of chunks.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{BinaryViewArray, Int64Array};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, SchemaRef};
use weir_runtime::batch::{Batch, Column, Identities, Origins, Partition};
use weir_runtime::{Clock, Context};

use super::FilesError;
use super::splitting::record_number;
use super::text_reader::Chunk;
use crate::tools::buffers::Buffers;
use crate::tools::lines::Span;

/// Makes batches of the source's event type.
pub(super) struct Batches {
    schema: SchemaRef,
    clock: Arc<dyn Clock>,
    host: String,
    buffers: Buffers,
    /// Whether events carry their identities: the position at which each ends in its file.
    pub(super) identities: bool,
    /// Whether texts are made of frames, which know the numbers of their records.
    has_records: bool,
}

impl Batches {
    pub(super) fn new(context: &Context, buffers: Buffers, has_records: bool) -> Batches {
        Batches {
            schema: context.schema.clone(),
            clock: context.clock.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            buffers,
            identities: false,
            has_records,
        }
    }

    /// Makes a batch of a chunk's events. Their bodies are views into the chunk's buffer.
    pub(super) fn of(&self, chunk: Chunk, path: &Path, partition: &Partition) -> Result<Batch, FilesError> {
        let offsets: Vec<i64> = (0..chunk.spans.len()).map(|row| chunk.position_of(row) as i64).collect();
        let Chunk { buffer, spans, after, next, .. } = chunk;
        let offsets = match self.has_records {
            true => spans.iter().map(|span| record_number(&buffer, span.begin)).collect(),
            false => offsets,
        };
        let named = vec![
            ("@file", Column::constant_text(&path.to_string_lossy())),
            ("@offset", Int64Array::from(offsets).into()),
            ("@host", Column::constant_text(&self.host)),
            ("@timestamp", Column::constant_time(self.clock.now())),
            (weir_plan::BODY, bodies(self.buffers.share(buffer), &spans)?.into()),
        ];
        let origins = Origins::one(partition.clone(), after, next);
        let batch = Batch::assemble(&self.schema, named, spans.len(), origins)?;
        if !self.identities {
            return Ok(batch);
        }
        let positions = spans.iter().map(|span| span.behind).collect();
        Ok(batch.with_identities(Identities::of_one(partition.clone(), positions))?)
    }

    /// Makes a batch that has no events, only a position.
    pub(super) fn mark(&self, partition: Partition, after: u64, through: u64) -> Result<Batch, FilesError> {
        let chunk = Chunk { after, begin: after, next: through, ..Chunk::default() };
        self.of(chunk, Path::new(""), &partition)
    }
}

/// Makes views of the events into one buffer. An empty line is an empty body.
fn bodies(buffer: Buffer, spans: &[Span]) -> Result<BinaryViewArray, ArrowError> {
    let mut builder = BinaryViewBuilder::with_capacity(spans.len());
    let block = builder.append_block(buffer);
    for span in spans {
        builder.try_append_view(block, span.begin, span.length)?;
    }
    Ok(builder.finish())
}
