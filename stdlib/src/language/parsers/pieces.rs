//! The loop of parsers that cut a text into pieces, one for each field.

use arrow_array::BinaryViewArray;
use weir_runtime::batch::BatchError;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parsed, Parser, ParserCall, WantedField};

use super::columns::{Field, FieldColumn, Found, Kind};
use super::filling::{append_each, filled};
use super::json::is_document;
use super::scalar::Scalar;

/// What some programs write before text in UTF-8. It is no part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Cuts a body into the pieces that are the values of the fields.
pub(super) trait Cut: Send + Sync {
    /// What is kept from body to body, so that no body allocates it.
    type Scratch;

    fn scratch(&self) -> Self::Scratch;

    /// Finds the pieces of a body, which is UTF-8. A field without a piece is missing.
    ///
    /// # Errors
    /// When the body does not have the form of the parser.
    fn cut(&self, body: &str, scratch: &mut Self::Scratch, pieces: &mut Pieces) -> Result<(), Reason>;
}

/// The pieces of a body by the numbers of their fields.
#[derive(Default)]
pub(super) struct Pieces {
    found: Vec<Option<Piece>>,
    copies: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Piece {
    /// Where the piece is in the body.
    begin: usize,
    end: usize,
    /// Where its copy without escapes is, if it has escapes.
    copy: Option<(usize, usize)>,
}

impl Pieces {
    /// Sets the value of a field to a part of the body. The last one that is set counts.
    #[inline]
    pub(super) fn set(&mut self, field: usize, begin: usize, end: usize) {
        self.found[field] = Some(Piece { begin, end, copy: None });
    }

    /// Sets the value of a field to a text that stands with escapes in this part of the body.
    pub(super) fn set_copy(&mut self, field: usize, begin: usize, end: usize, text: &[u8]) {
        let start = self.copies.len();
        self.copies.extend_from_slice(text);
        self.found[field] = Some(Piece { begin, end, copy: Some((start, self.copies.len())) });
    }

    /// Moves all pieces by so many bytes.
    fn move_by(&mut self, bytes: usize) {
        for piece in self.found.iter_mut().flatten() {
            (piece.begin, piece.end) = (piece.begin + bytes, piece.end + bytes);
        }
    }

    /// Sets the value of a field to none.
    pub(super) fn unset(&mut self, field: usize) {
        self.found[field] = None;
    }

    /// Sets the value of a field to an empty part of the body at this byte; to none if the field may be null.
    pub(super) fn set_empty(&mut self, field: usize, is_nullable: bool, at: usize) {
        match is_nullable {
            true => self.unset(field),
            false => self.set(field, at, at),
        }
    }
}

/// A parser that cuts texts into pieces.
pub(super) struct Cutter<C> {
    fields: Vec<Field>,
    cut: C,
}

impl<C: Cut + 'static> Cutter<C> {
    /// Makes the parser of a step.
    ///
    /// # Errors
    /// When a value of a field's type can't be read from text.
    pub(super) fn boxed(call: &ParserCall<'_>, cut: C) -> Result<Box<dyn Parser>, String> {
        Cutter::of_fields(&call.fields, cut)
    }

    /// Makes the parser of these fields.
    ///
    /// # Errors
    /// When a value of a field's type can't be read from text.
    pub(super) fn of_fields(fields: &[WantedField], cut: C) -> Result<Box<dyn Parser>, String> {
        let fields = fields.iter().map(Field::single).collect::<Result<_, _>>()?;
        Ok(Box::new(Cutter { fields, cut }))
    }
}

impl<C: Cut> Parser for Cutter<C> {
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError> {
        let mut scratch = self.cut.scratch();
        let mut pieces = Pieces { found: vec![None; self.fields.len()], copies: Vec::new() };
        filled(self.fields.iter(), bodies, |row, columns| {
            pieces.found.fill(None);
            pieces.copies.clear();
            let body = text(bodies.value(row))?;
            match body.strip_prefix(BYTE_ORDER_MARK) {
                None => self.cut.cut(body, &mut scratch, &mut pieces)?,
                Some(rest) => {
                    self.cut.cut(rest, &mut scratch, &mut pieces)?;
                    pieces.move_by(BYTE_ORDER_MARK.len_utf8());
                }
            }
            Ok(append_each(columns, &pieces.found, |column, piece| {
                append(column, bodies, row, *piece, &pieces.copies)
            }))
        })
    }
}

/// Returns a body as text.
///
/// # Errors
/// When it is not UTF-8.
pub(super) fn text(body: &[u8]) -> Result<&str, Reason> {
    simdutf8::basic::from_utf8(body).map_err(|_| no_text(body))
}

#[cold]
fn no_text(body: &[u8]) -> Reason {
    let byte = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
    Reason::unreadable(None, "UTF-8", &body[byte..], byte)
}

/// The numbers of fields by their names in bodies.
pub(super) struct Names(Vec<(String, bool)>);

impl Names {
    pub(super) fn new(fields: &[WantedField]) -> Names {
        Names(fields.iter().map(|field| (field.name.clone(), field.nullable)).collect())
    }

    /// Returns the number of the field of this name.
    #[inline]
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| known == name)
    }

    /// Whether the field may be null.
    pub(super) fn is_nullable(&self, field: usize) -> bool {
        self.0[field].1
    }
}

/// Appends the value that a text is. Returns whether it is one; otherwise an undefined value is appended.
#[inline]
fn append_text(column: &mut FieldColumn<'_>, bodies: &BinaryViewArray, found: Found<'_>) -> bool {
    let is_json = matches!(column.field.kind, Kind::Scalar(Scalar::Json));
    if is_json && !is_document(found.bytes(bodies)) {
        column.append_undefined();
        return false;
    }
    column.append_found(bodies, found)
}

/// Appends a piece of a body to a column; null for a field without a piece.
#[inline]
fn append(
    column: &mut FieldColumn<'_>,
    bodies: &BinaryViewArray,
    row: usize,
    piece: Option<Piece>,
    copies: &[u8],
) -> Result<(), Reason> {
    let Some(Piece { begin, end, copy }) = piece else { return column.append_missing() };
    let found = match copy {
        None => Found::Part { row, begin, end },
        Some((from, to)) => Found::Copy(&copies[from..to]),
    };
    match append_text(column, bodies, found) {
        true => Ok(()),
        false => Err(column.field.unreadable(&bodies.value(row)[begin..end], begin)),
    }
}
