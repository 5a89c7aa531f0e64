//! What the sink writes of each event, for tests of programs.

use std::collections::BTreeMap;

use weir_plan::{BODY, Settings, Value};
use weir_runtime::Failure;
use weir_runtime::batch::Batch;

use super::RecordError;
use super::records::{RecordHeaders, Records};
use super::settings::KafkaSinkSettings;
use crate::formats::messages::MessageFormatting;
use crate::tools::template::Renderer;

/// Returns what the sink writes of each event: topic, key, headers, and the value as `body`. The body of a tombstone and of an event
/// that the format can't represent is null; Avro has no text.
///
/// # Errors
/// When the events can't be written in the format.
pub(crate) fn writes(settings: &Settings, batch: &Batch) -> Result<Vec<BTreeMap<String, Value>>, Failure> {
    let settings: KafkaSinkSettings = settings.read().map_err(Failure::permanent)?;
    let renderer = |template| Renderer::new(template, "UTC").map_err(Failure::permanent);
    let topic = renderer(&settings.topic)?;
    let key = settings.key.as_ref().map(renderer).transpose()?;
    let headers = RecordHeaders::new(&settings.headers, batch.schema())
        .map_err(|header| Failure::permanent(format!("the events have no header `{header}`")))?;
    let mut formatting =
        MessageFormatting::new(settings.format, batch.schema()).map_err(Failure::permanent)?;
    let failed = |error| match error {
        RecordError::Topic(error) | RecordError::Key(error) => Failure::permanent(error),
        RecordError::Events(error) => Failure::permanent(error),
    };
    let mut records = Records::bind(&topic, key.as_ref(), &headers, batch).map_err(failed)?;
    let is_text = formatting.avro_schema().is_none();
    let mut written: Vec<BTreeMap<String, Value>> = Vec::new();
    let at_once = formatting.rows_at_once(batch);
    while written.len() < batch.rows() {
        let range = written.len()..(written.len() + at_once).min(batch.rows());
        let contents = formatting.encode(batch, range.clone()).map_err(Failure::permanent)?;
        for row in range {
            let record = records.record(&contents, row);
            let text = |bytes: &[u8]| Value::Text(String::from_utf8_lossy(bytes).into_owned());
            let headers = record.headers().map(|(name, value)| (name.to_owned(), text(value)));
            let mut parts = BTreeMap::from([
                ("topic".to_owned(), Value::Text(record.topic.to_owned())),
                ("key".to_owned(), record.key.map_or(Value::Null, |key| Value::Text(key.to_owned()))),
                ("headers".to_owned(), Value::Record(headers.collect())),
            ]);
            if is_text {
                let body = record.body.filter(|_| !contents.is_unwritable(row));
                parts.insert(BODY.to_owned(), body.map_or(Value::Null, text));
            }
            written.push(parts);
        }
    }
    Ok(written)
}
