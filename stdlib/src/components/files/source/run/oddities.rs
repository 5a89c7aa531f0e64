//! Reports what is odd in files and is left out: lines that are too long, holes, and what is packed.

use std::path::Path;

use tracing::warn;

use super::super::content::Packing;
use super::super::members::Rest;
use super::super::text_reader::Chunk;
use super::super::tracked::{FileId, Phase};
use super::Run;

impl Run<'_> {
    /// Counts and logs what is odd in a chunk.
    pub(super) fn report_oddities(&self, chunk: &Chunk, path: &Path) {
        let (component, meter, path) = (&self.source.component, &self.source.meter, path.display());
        if chunk.too_long > 0 {
            meter.count("long_lines", chunk.too_long);
            let (count, bound) = (chunk.too_long, self.source.rules.splitting.body_bytes_max());
            if let Some(more) = self.source.long_lines.occurred() {
                warn!(component = %component, "{count} lines of {path} are longer than {bound} bytes{more}");
            }
        }
        if chunk.hole_bytes > 0 {
            meter.count("hole_bytes", chunk.hole_bytes);
            if let Some(more) = self.source.holes.occurred() {
                let bytes = chunk.hole_bytes;
                warn!(
                    component = %component,
                    "{path} has a hole of {bytes} zero bytes before a line behind byte {}, which belongs to no line: a program that \
                     does not append (`O_APPEND`) leaves one when its file is truncated{more}",
                    chunk.after
                );
            }
        }
        if let Some(contradiction) = &chunk.contradiction {
            meter.count("files_in_another_encoding", 1);
            if let Some(more) = self.source.malformed.occurred() {
                let encoding = self.source.rules.splitting.encoding().name();
                warn!(component = %component, "{path} is read as {encoding}, but {contradiction}{more}");
            }
        }
        if chunk.malformed > 0 {
            meter.count("malformed_lines", chunk.malformed);
            if let Some(more) = self.source.malformed.occurred() {
                let (count, encoding) = (chunk.malformed, self.source.rules.splitting.encoding().name());
                warn!(
                    component = %component,
                    "{count} lines of {path} behind byte {} are not right in {encoding}: what is wrong becomes U+FFFD{more}",
                    chunk.after
                );
            }
        }
        let rest = match chunk.finds_rest {
            Rest::Nothing => return,
            Rest::Zeros => "zeros",
            Rest::Other => "bytes that can't be decompressed",
        };
        meter.count("packed_files_with_rubbish", 1);
        if let Some(more) = self.source.rubbish.occurred() {
            warn!(
                component = %component,
                "{path} goes on behind its compressed lines with {rest}, which are left out{more}"
            );
        }
    }

    /// Leaves a packed file out until it changes, and logs that once.
    pub(super) fn leave_out(&mut self, id: FileId, packing: Packing) {
        let Some(file) = self.files.get(id) else { return };
        (file.phase, file.content) = (Phase::Resting, None);
        if std::mem::replace(&mut file.is_left_out, true) {
            return;
        }
        let (path, component) = (file.path.display(), &self.source.component);
        self.source.meter.count("packed_files_left_out", 1);
        let limit = match packing {
            Packing::Encoded(_) => &self.source.compressed_files,
            Packing::Unreadable(_) => &self.source.packed_files,
        };
        let Some(more) = limit.occurred() else { return };
        match packing {
            Packing::Encoded(encoding) => warn!(
                component = %component,
                "{path} is compressed ({}) and is left out: `decompress: true` reads its lines{more}",
                encoding.name()
            ),
            Packing::Unreadable(format) => warn!(
                component = %component,
                "{path} is packed ({format}) and is left out: only gzip, zstd and bzip2 can be decompressed{more}"
            ),
        }
    }
}
