//! Reads puts back from disk for a reader that is behind the puts in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;

use super::columns;
use super::log::SegmentInfo;
use super::record::Kind;
use super::scan::{Damage, Scan};
use super::segment::{Location, Uuid};
use super::survey::SurveyError;
use crate::batch::Batch;
use crate::channel::Fill;
use crate::environment::storage::Storage;

/// Reading in advance stops after this many bytes on the disk or in memory.
const LOAD_BYTES: u64 = 1 << 20;

/// A put that readers can lease.
#[derive(Debug, Clone)]
pub(super) struct StoredPut {
    pub(super) sequence: u64,
    pub(super) batch: Batch,
    pub(super) fill: Fill,
    /// Where its record is, and where the next one begins.
    pub(super) location: Location,
    pub(super) next: Location,
    /// The number of events put before it.
    pub(super) events_before: u64,
}

/// A request to read puts.
#[derive(Debug, Clone)]
pub(super) struct LoadRequest {
    pub(super) from: Location,
    /// The put to read, and the first put that is not on disk yet.
    pub(super) sequence: u64,
    pub(super) below: u64,
    /// Whether to read later puts as well.
    pub(super) ahead: bool,
    pub(super) uuid: Uuid,
    pub(super) segments: Arc<BTreeMap<u64, SegmentInfo>>,
    /// The schema of the delivered events.
    pub(super) schema: SchemaRef,
}

/// Reads the requested put and, with `ahead`, some later ones. All of them were synced, so a record that can't be
/// read is damage.
pub(super) fn load<S: Storage>(storage: &S, request: &LoadRequest) -> Result<Vec<StoredPut>, SurveyError> {
    let mut items: Vec<StoredPut> = Vec::new();
    let mut bytes = 0;
    // The reader has all earlier puts, and their segments may have been deleted.
    let holding = request.segments.iter().rev().find(|(_, info)| info.first_sequence <= request.sequence);
    let first = holding.map_or(request.from.segment, |(number, _)| request.from.segment.max(*number));
    for (&number, info) in request.segments.range(first..) {
        let failed = |error| SurveyError::scan(number, error);
        let mut at = if number == request.from.segment { request.from.offset } else { info.begin };
        let mut scan = Scan::open(storage, request.uuid, number, Some(info.end)).map_err(failed)?;
        let mut chain = None;
        while at < info.end {
            let location = Location { segment: number, offset: at };
            let record = scan.record(at).map_err(failed)?;
            let record = record.filter(|record| chain.is_none_or(|chain| chain == record.header.previous));
            let Some(record) = record else {
                return Err(Damage::at(location, "a record can't be read, and it was on disk once").into());
            };
            at = record.next.offset;
            chain = Some(record.chain);
            let header = record.header;
            if header.kind != Kind::Put || header.rows == 0 || header.sequence < request.sequence {
                continue;
            }
            let wanted = request.sequence + items.len() as u64;
            if header.sequence != wanted {
                let what = format!("put {} where {wanted} is expected", header.sequence);
                return Err(Damage::at(location, what).into());
            }
            let (rows, origins) = (header.rows as usize, header.origins_bytes as usize);
            let batch = columns::decode(&info.schema, rows, origins, &record.body);
            let batch = batch.and_then(|batch| batch.project(&request.schema).ok());
            let batch = batch.ok_or_else(|| Damage::at(location, "the events are invalid"))?;
            let fill = Fill { events: rows, bytes: header.charged };
            let (next, events_before) = (record.next, header.events_before);
            items.push(StoredPut { sequence: wanted, batch, fill, location, next, events_before });
            // A compressed put may take a hundred times its bytes on the disk.
            bytes += header.span().max(header.charged);
            if !request.ahead || bytes >= LOAD_BYTES || wanted + 1 >= request.below {
                return Ok(items);
            }
        }
    }
    match items.is_empty() {
        true => Err(Damage::at(request.from, format!("put {} is not there", request.sequence)).into()),
        false => Ok(items),
    }
}
