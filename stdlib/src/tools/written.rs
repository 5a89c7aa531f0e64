//! What a sink writes of each event, for tests of programs: the texts of its templates, and the text of the event.

use std::collections::BTreeMap;

use weir_plan::{BODY, Value};
use weir_runtime::Failure;
use weir_runtime::batch::Batch;

use crate::formats::codec::Codec;
use crate::formats::{Format, Formatting};
use crate::tools::template::Renderer;

/// The parts of what is written, one map for each event.
pub(crate) struct Written {
    rows: Vec<BTreeMap<String, Value>>,
}

impl Written {
    /// Begins with no parts of the events of a batch.
    pub(crate) fn of(batch: &Batch) -> Written {
        Written { rows: vec![BTreeMap::new(); batch.rows()] }
    }

    /// Adds the text that a template makes of each event.
    ///
    /// # Errors
    /// When the events lack a column of the template.
    pub(crate) fn text(self, name: &str, renderer: &Renderer, batch: &Batch) -> Result<Written, Failure> {
        let bound = renderer.bind(batch).map_err(Failure::permanent)?;
        Ok(self.part(name, |row| {
            let mut text = String::new();
            bound.render(row, &mut text);
            Value::Text(text)
        }))
    }

    /// Adds a part of each event.
    pub(crate) fn part(mut self, name: &str, mut value: impl FnMut(usize) -> Value) -> Written {
        for (row, parts) in self.rows.iter_mut().enumerate() {
            parts.insert(name.to_owned(), value(row));
        }
        self
    }

    /// Adds the text of each event in a file, without its line end. A format of blocks has no text of an event.
    ///
    /// # Errors
    /// When the events can't be written in the format.
    pub(crate) fn lines(self, format: Format, batch: &Batch) -> Result<Written, Failure> {
        let format = match format {
            Format::SequenceFile | Format::Avro { .. } | Format::Parquet { .. } => return Ok(self),
            // The line of the names is no event.
            Format::Csv { delimiter, headers, .. } => Format::Csv { delimiter, names: false, headers },
            format => format,
        };
        let ends = !matches!(format, Format::Raw);
        let formatting = Formatting::new(format, Codec::None, batch.schema()).map_err(Failure::permanent)?;
        let encoded = |row: usize| -> std::io::Result<Value> {
            // A batch has at most a million rows.
            let rows = row as u32..row as u32 + 1;
            let gathered = formatting.gather(batch, std::slice::from_ref(&rows))?;
            let mut encoder = formatting.encoder()?;
            encoder.append(&gathered, 0..1, u64::MAX)?;
            let bytes = encoder.finish()?.rest;
            let text = if ends { bytes.strip_suffix(b"\n").unwrap_or(&bytes) } else { &bytes };
            Ok(Value::Text(String::from_utf8_lossy(text).into_owned()))
        };
        let bodies =
            (0..batch.rows()).map(encoded).collect::<Result<Vec<_>, _>>().map_err(Failure::permanent)?;
        Ok(self.part(BODY, |row| bodies[row].clone()))
    }

    /// Returns the parts of each event.
    pub(crate) fn into_rows(self) -> Vec<BTreeMap<String, Value>> {
        self.rows
    }
}
